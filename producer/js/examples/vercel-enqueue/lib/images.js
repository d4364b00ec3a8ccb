// The collection that the workers write to. The database is the one in the path of MONGODB_URI.
import { MongoClient } from "mongodb";

const mongo = new MongoClient(process.env.MONGODB_URI, { serverSelectionTimeoutMS: 3000, maxIdleTimeMS: 30_000 });

export const images = mongo.db().collection("images");
