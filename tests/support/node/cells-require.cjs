// Enqueues one image from a program of CommonJS, and prints its task id.
const { EmbeddingClient } = require("clipqueue");

EmbeddingClient.fromEnv()
  .enqueue(`${process.env.RUNTIME}-require`, "https://example.com/cat.jpg")
  .then((taskId) => console.log(JSON.stringify({ taskId })));
