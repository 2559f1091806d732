# One machine, CPU or GPU:
#   docker build -t dp-assets .
#   docker build -t dp-assets:gpu --build-arg EXTRAS=gpu .
#   docker run --rm -v /data/project:/project -p 127.0.0.1:3000:3000 dp-assets           (the Dagster UI)
#   docker run --rm --gpus all -v /data/project:/project dp-assets:gpu dp-assets run all (the work)
# Many machines (docs/reliability.md): webserver, daemon, code server, workers and pods of runs are all this image.
#   docker build -t dp-assets:1 --build-arg EXTRAS=cluster,gpu .     (dp-assets worker --queue gpu)
#   docker build -t dp-assets:1 --build-arg EXTRAS=k8s,gpu .         (configs/kubernetes)
FROM python:3.11-slim

# "gpu" brings TensorFlow's CUDA libraries; several are separated by commas, such as gpu,comet
ARG EXTRAS=""

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

WORKDIR /opt/dp-assets
COPY pyproject.toml constraints.txt LICENSE README.md ./
COPY dp_assets ./dp_assets
RUN python -m pip install -c constraints.txt --upgrade pip setuptools \
    && python -m pip install -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

# Files that the container writes belong to whom the folder belongs: run with --user "$(id -u):$(id -g)".
# Instance settings come as a volume or a config map of Kubernetes.
RUN mkdir -p /project /opt/dagster/dagster_home && chmod 777 /project /opt/dagster/dagster_home
ENV DP_PROJECT=/project \
    HOME=/tmp
USER 1000:1000
WORKDIR /project
VOLUME /project
EXPOSE 3000
CMD ["sh", "-c", "dp-assets setup && exec dp-assets ui --host 0.0.0.0"]
