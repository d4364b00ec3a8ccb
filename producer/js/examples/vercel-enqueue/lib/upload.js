import { BrokerUnavailable, InvalidJob } from "clipqueue";
import { images } from "./images.js";

// Check here who may upload, as in your other routes.
export async function storeUpload(request, queue) {
  const upload = await request.json().catch(() => undefined);
  if (typeof upload?.url !== "string") return Response.json({ error: "send JSON with a url" }, { status: 400 });
  const { insertedId: id } = await images.insertOne({ url: upload.url, createdAt: new Date() });
  try {
    await queue.enqueue(id, upload.url); // awaited: what is not awaited is frozen with the instance
    return Response.json({ id, status: "queued" }, { status: 202 });
  } catch (error) {
    if (error instanceof InvalidJob) {
      await images.deleteOne({ _id: id });
      return Response.json({ error: error.message }, { status: 400 });
    }
    if (!(error instanceof BrokerUnavailable)) throw error;
    // The upload is stored, so it has not failed. `clipqueue sweep --adopt` finds the document later and enqueues it.
    // Without such a sweep, delete the document and answer 503.
    console.error(error.message);
    return Response.json({ id, status: "stored" }, { status: 202 });
  }
}
