# degen on any base image with Python 3.11 or newer, as in: docker build --build-arg BASE=python:3.12-slim -t degen .
ARG BASE=python:3.13-slim
FROM ${BASE}
# torch for CPUs; for NVIDIA cards --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=gguf,hub,report
WORKDIR /src
COPY . .
RUN python -m pip install --no-cache-dir --constraint constraints.txt --extra-index-url "${TORCH_INDEX}" ".[${EXTRAS}]" \
    && degen doctor
ENV HOME=/tmp HF_HOME=/tmp/huggingface
USER 1000
WORKDIR /work
ENTRYPOINT ["degen"]
