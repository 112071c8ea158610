# CUDA worker: one process a device. Build from the root of the repository:
#   docker build -f docker/cuda.Dockerfile -t geosearch-cuda:0.1.0 .
# The wheels of torch bring CUDA with them; the machine brings the driver and the NVIDIA runtime.

FROM python:3.12.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /venv
RUN /venv/bin/pip install torch==2.14.1 torchvision==0.29.1
# Only what .dockerignore lets in.
COPY . .
RUN /venv/bin/pip install ".[all]"

FROM python:3.12.11-slim-bookworm AS run
LABEL org.opencontainers.image.title="geosearch-cuda" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 geosearch \
    && useradd --uid 10001 --gid geosearch --create-home --shell /usr/sbin/nologin geosearch \
    && mkdir /data \
    && chown geosearch:geosearch /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/data/models \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    GEOSEARCH_HOME=/data/home \
    GEOSEARCH_METRICS_PORT=9100
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 9100
HEALTHCHECK --interval=30s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/metrics', timeout=4)"]
ENTRYPOINT ["geosearch"]
CMD ["worker", "--device", "cuda:0"]
