"""`celery -A tests.bench.tutorial worker`: the worker that tutorials on Celery and CLIP lead to, as a reference.

It uses prefork, one image per task, fp32, open_clip's transform and one write per image. It is a good version of that:
it keeps one connection to each server, and runs one process per CPU with one PyTorch thread each.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import Any

import open_clip
import pymongo
import requests
import torch
from celery import Celery
from celery.signals import worker_process_init
from PIL import Image

QUEUE = "tutorial"
TASK = "tutorial.embed"

app = Celery("tutorial", broker=os.environ.get("REDIS_URL"))
app.conf.update(task_default_queue=QUEUE, task_acks_late=True, task_ignore_result=True)
# By default Celery gives up on a child that loads its model for more than four seconds.
app.conf.worker_proc_alive_timeout = 120

state: dict[str, Any] = {}


@worker_process_init.connect
def load(**_: Any) -> None:
    torch.set_num_threads(1)
    model, _, transform = open_clip.create_model_and_transforms(
        os.environ["CLIP_MODEL"], pretrained=os.environ["CLIP_PRETRAINED"]
    )
    state["model"], state["transform"] = model.eval(), transform
    state["session"] = requests.Session()
    state["images"] = pymongo.MongoClient(os.environ["MONGODB_URI"]).get_default_database()["images"]


@app.task(name=TASK)
def embed(image_id: str, url: str) -> None:
    response = state["session"].get(url, timeout=10)
    response.raise_for_status()
    pixels = state["transform"](Image.open(BytesIO(response.content)).convert("RGB")).unsqueeze(0)
    with torch.inference_mode():
        vector = state["model"].encode_image(pixels, normalize=True)[0]
    fields = {"embedding": vector.tolist(), "embedding_job": {"status": "done"}}
    state["images"].update_one({"_id": image_id}, {"$set": fields}, upsert=True)
