# docker build -t mmdbench .                      models behind an API; no torch
# docker build -t mmdbench:cuda --target cuda .   local models too; run it with --gpus all
FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 HF_HOME=/work/.cache/huggingface XDG_CACHE_HOME=/work/.cache LMUData=/work/LMUData
RUN useradd --create-home --uid 1000 mmdbench && install --directory --owner=mmdbench /work
COPY --from=wheel /wheels /wheels

FROM base AS cuda
# torch's wheels bring CUDA's libraries; the driver is the host's.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[api,demo,fast,hf,parquet,plot]"
USER mmdbench
WORKDIR /work
ENTRYPOINT ["mmdbench"]
CMD ["--help"]

FROM base AS cpu
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[api,demo,fast,parquet,plot]"
USER mmdbench
WORKDIR /work
ENTRYPOINT ["mmdbench"]
CMD ["--help"]
