# Targets: worker (the default) and flower. Build for a CPU host with the index of PyTorch's CPU wheels:
#   docker build --build-arg TORCH_INDEX_URL=<the CPU index from PyTorch's install page> -t clipqueue-worker .
# Without it, pip's default index gives the CUDA build on x86-64.

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 clipqueue
WORKDIR /app


FROM base AS flower
COPY pyproject.toml README.md LICENSE ./
COPY producer ./producer
COPY worker ./worker
# hadolint ignore=DL3013
RUN pip install ".[flower]"
USER 10001
# Flower can stop workers and start tasks; here it only shows.
ENV FLOWER_READ_ONLY=True
EXPOSE 5555
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5555/healthcheck', timeout=4)"]
CMD ["celery", "-A", "worker.app", "flower"]


FROM base AS worker
ARG TORCH_INDEX_URL=""
# Versions are bounded in pyproject.toml. PyTorch before the sources, so that a change of ours does not install PyTorch anew.
# hadolint ignore=DL3013
RUN pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY producer ./producer
COPY worker ./worker
# hadolint ignore=DL3013
RUN pip install ".[worker]" && install -d -o clipqueue /opt/models
USER 10001
# The weights are part of the image: a start needs no network, and cannot fail for want of a model hub.
ARG CLIP_MODEL=ViT-B-32-quickgelu
ARG CLIP_PRETRAINED=openai
ENV CLIP_MODEL=${CLIP_MODEL} \
    CLIP_PRETRAINED=${CLIP_PRETRAINED} \
    HF_HOME=/opt/models
RUN clipqueue model pull
ENV HF_HUB_OFFLINE=1
# Loading and warming the model takes its time; until then the worker takes no job and answers no ping.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["python", "-m", "worker.health"]
# Exec form: Celery is process 1 and gets SIGTERM itself, so it can finish its jobs. A shell would swallow it.
CMD ["celery", "-A", "worker.app", "worker"]
