# Training and serving by SageMaker's layout (/opt/ml), on CPU or GPU:
#   docker build -t vlm-tsc .
#   docker run --rm -v "$PWD/ml:/opt/ml" vlm-tsc train
#   docker run --rm -v "$PWD/ml:/opt/ml" -p 8080:8080 vlm-tsc serve
#   docker run --rm -v "$PWD/runs:/opt/ml/output/runs" -p 5000:5000 vlm-tsc mlflow
FROM python:3.12-slim

# the endpoint listens where SageMaker says
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/vlm-tsc

# packages before the project, so that a change of the project does not fetch them again
COPY requirements.lock ./
RUN pip install -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY vlm_tsc vlm_tsc
COPY configs configs
COPY prompts prompts
RUN pip install --no-deps --no-build-isolation .

WORKDIR /
EXPOSE 8080 5000
# exec form: `docker run IMAGE train` and SIGTERM reach Python
ENTRYPOINT ["python", "-m", "vlm_tsc.use.container"]
CMD ["serve"]
