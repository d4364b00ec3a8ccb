# Targets: worker (the default), api and flower. Build for a CPU host with the index of PyTorch's CPU wheels:
#   docker build --build-arg TORCH_INDEX_URL=<the CPU index from PyTorch's install page> -t clipqueue-worker .
# Without it, pip's default index gives the CUDA build on x86-64.

# Some platforms can only build the last stage, but pass their variables on: CLIPQUEUE_IMAGE=api builds the API there.
ARG CLIPQUEUE_IMAGE=worker

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 clipqueue
WORKDIR /app


FROM base AS flower
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY producer ./producer
COPY worker ./worker
# requirements.lock has the version of every package, setuptools included, which builds the wheel.
# hadolint ignore=DL3013
RUN pip install -c requirements.lock setuptools && \
    pip install -c requirements.lock --no-build-isolation ".[flower]"
USER 10001
# Flower can stop workers and start tasks. Read-only mode prevents both.
ENV FLOWER_READ_ONLY=True
# A worker has a new name after each start. Flower hides a worker that has been offline for an hour.
ENV FLOWER_PURGE_OFFLINE_WORKERS=3600
EXPOSE 5555
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5555/healthcheck', timeout=4)"]
CMD ["celery", "-A", "worker.app", "flower"]


FROM base AS api
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY producer ./producer
COPY worker ./worker
# hadolint ignore=DL3013
RUN pip install -c requirements.lock setuptools && \
    pip install -c requirements.lock --no-build-isolation ".[api]"
USER 10001
# All addresses of the container. Then the API starts only with CLIPQUEUE_API_KEYS.
ENV CLIPQUEUE_API_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/healthz' % os.environ.get('PORT', 8000), timeout=4)"]
CMD ["clipqueue", "serve"]


FROM base AS worker
ARG TORCH_INDEX_URL=""
# The index chooses the versions of PyTorch, within the bounds of pyproject.toml. It comes before the sources, so that its layer stays cached when they change.
# hadolint ignore=DL3013
RUN pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch torchvision
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY producer ./producer
COPY worker ./worker
# hadolint ignore=DL3013
RUN pip install -c requirements.lock setuptools && \
    pip install -c requirements.lock --no-build-isolation ".[worker]" && install -d -o clipqueue /opt/models
USER 10001
# The image contains the weights, so that a start needs neither a network nor a model hub.
ARG CLIP_MODEL=ViT-B-32-quickgelu
ARG CLIP_PRETRAINED=openai
ENV CLIP_MODEL=${CLIP_MODEL} \
    CLIP_PRETRAINED=${CLIP_PRETRAINED} \
    HF_HOME=/opt/models
RUN clipqueue model pull
ENV HF_HUB_OFFLINE=1
# The worker is unhealthy until its model is loaded and warm, and while it is frozen or hangs; an outage of Redis or
# MongoDB does not count. A failure during the start period does not count either.
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "-m", "worker.health"]
# Exec form: Celery is process 1 and receives SIGTERM, so it can drain. A shell would not pass it on.
CMD ["celery", "-A", "worker.app", "worker"]


# hadolint ignore=DL3006
FROM ${CLIPQUEUE_IMAGE}
