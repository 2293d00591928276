# The image that `fpt submit --to kuberay` runs: this checkout with the versions of constraints.txt. docs/kubernetes.md
#   docker build --tag REGISTRY/fpt:1 .                                  torch with CUDA, some 6 GB
#   docker build --tag REGISTRY/fpt:1 --build-arg TORCH_BACKEND=cpu .    torch for processors alone
ARG PYTHON=3.13
FROM python:${PYTHON}-slim
ARG TORCH_BACKEND=

# KubeRay asks by wget whether Ray is well.
RUN apt-get update && apt-get install --yes --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv

# What is needed comes first and by itself, so that a change of the code does not bring it anew. boto3: MLflow's files on s3://
WORKDIR /opt/fpt
COPY constraints.txt pyproject.toml ./
RUN uv pip install --system --no-cache --compile-bytecode ${TORCH_BACKEND:+--torch-backend=${TORCH_BACKEND}} \
    --constraint constraints.txt --requirement pyproject.toml boto3==1.44.5

COPY README.md LICENSE ./
COPY fpt fpt
COPY pipeline pipeline
COPY sweeps sweeps
RUN uv pip install --system --no-cache --compile-bytecode --no-deps . && fpt --version

# Nobody is root; the number is what the RayJob says too.
RUN useradd --uid 1000 --create-home fpt
USER 1000
WORKDIR /home/fpt
