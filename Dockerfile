# Four images from one file: worker (the default), sweep, api and flower. Choose one by its stage, or by the argument
# CLIPQUEUE_IMAGE on a platform that builds the last stage and passes its variables on as arguments, as Railway does:
#   docker build --target api -t clipqueue-api .
#   docker build --build-arg CLIPQUEUE_IMAGE=api -t clipqueue-api .
# BuildKit builds only the stages that the image needs.
ARG CLIPQUEUE_IMAGE=worker
# The tag follows the patches of Python 3.11 and of Debian 13. To build from the same bytes each time, add a digest:
#   --build-arg PYTHON_IMAGE=python:3.11-slim-trixie@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-trixie

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
# Metrics are off without CLIPQUEUE_METRICS_PORT, or PORT. With it, other containers have to reach them.
ENV CLIPQUEUE_METRICS_HOST=0.0.0.0
RUN useradd --create-home --uid 10001 clipqueue
# The sources are in another folder than the one that programs start in. There, Python would import them instead of the
# installed package.
WORKDIR /src
COPY requirements.lock ./
# requirements.lock has the version of every package, setuptools included, which builds the wheel.
# hadolint ignore=DL3013
RUN pip install -c requirements.lock setuptools


FROM base AS sources
COPY pyproject.toml README.md LICENSE ./
COPY producer ./producer
COPY worker ./worker


# Runs every command that needs Redis and MongoDB alone: sweep, backfill, retry, doctor, purge, notify, stats, top and
# others.
FROM sources AS sweep
RUN pip install -c requirements.lock --no-build-isolation ".[mongo,webhooks,metrics,top]" && rm -rf build
WORKDIR /app
USER 10001
# No HEALTHCHECK: these commands answer no requests, and what ends is started again.
CMD ["clipqueue", "sweep", "--every", "60"]


FROM sources AS api
RUN pip install -c requirements.lock --no-build-isolation ".[api]" && rm -rf build
WORKDIR /app
COPY producer/api/healthcheck.py ./
USER 10001
# All addresses of the container. Then the API starts only with CLIPQUEUE_API_KEYS.
ENV CLIPQUEUE_API_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-I", "-S", "healthcheck.py", "/healthz", "CLIPQUEUE_API_PORT", "PORT", "8000"]
CMD ["clipqueue", "serve"]


FROM sources AS flower
RUN pip install -c requirements.lock --no-build-isolation ".[flower]" && rm -rf build && \
    install -d -o clipqueue /data
WORKDIR /app
COPY producer/api/healthcheck.py worker/flowerconfig.py ./
USER 10001
# It asks for a password, turns on the read-only mode, and keeps the tasks in the file. With a volume there, a new
# container has them.
ENV FLOWER_CONF=/app/flowerconfig.py
ENV FLOWER_DB=/data/flower
EXPOSE 5555
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-I", "-S", "healthcheck.py", "/healthcheck", "FLOWER_PORT", "PORT", "5555"]
CMD ["celery", "-A", "worker.app", "flower"]


FROM base AS worker
# PyTorch's index of its builds for a CPU. For a GPU, give an empty one: pip's default index has the CUDA build for
# x86-64. PyTorch has an index for each other version of CUDA, such as https://download.pytorch.org/whl/cu126.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
# PyTorch comes before the sources, so that its layer stays cached when they change. Its index lacks the locked versions
# of the packages that it needs, so pip's default index has to give them.
RUN pip install -c requirements.lock --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch torchvision && \
    pip install -c requirements.lock torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY producer ./producer
COPY worker ./worker
RUN pip install -c requirements.lock --no-build-isolation ".[worker]" && rm -rf build && \
    install -d -o clipqueue /opt/models
WORKDIR /app
COPY worker/health.py ./
USER 10001
# The image contains the weights, so that a start needs neither a network nor a model hub. For a gated model, give a
# token, which the image will not contain: docker build --secret id=hf_token,env=HF_TOKEN
ARG CLIP_MODEL=ViT-B-32-quickgelu
ARG CLIP_PRETRAINED=openai
ENV CLIP_MODEL=${CLIP_MODEL} \
    CLIP_PRETRAINED=${CLIP_PRETRAINED} \
    HF_HOME=/opt/models
RUN --mount=type=secret,id=hf_token,uid=10001 HF_TOKEN_PATH=/run/secrets/hf_token clipqueue model pull
ENV HF_HUB_OFFLINE=1
# The worker is unhealthy until its model is loaded and warm, and while it is frozen or hangs; an outage of Redis or
# MongoDB does not count. A failure during the start period does not count either.
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "-I", "-S", "health.py"]
# Exec form: Celery is process 1 and receives SIGTERM, so it can drain. A shell would not pass it on.
CMD ["celery", "-A", "worker.app", "worker"]


# hadolint ignore=DL3006
FROM ${CLIPQUEUE_IMAGE}
