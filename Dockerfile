# One image for every process: the web server by default; the worker, beat and manage.py by another command.
# It holds no secret and no setting. Started without DATABASE_URL it refuses: its own files are not writable.

FROM python:3.11.14-slim-trixie AS base
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /app

FROM base AS builder
# The venv goes without pip, which the running system has no use for.
RUN python -m venv --without-pip /venv
COPY requirements.lock ./
RUN pip --python /venv/bin/python install --no-cache-dir --only-binary=:all: --require-hashes -r requirements.lock
COPY pyproject.toml ./
COPY manage.py ./
COPY project ./project
COPY eventsinks ./eventsinks
COPY templates ./templates
# Django starts only with keys, and makes its own where there is no DATABASE_URL: on a tmpfs, gone with this step.
RUN --mount=type=tmpfs,target=/tmp/var \
    EVENTSINKS_VAR=/tmp/var python manage.py collectstatic --noinput \
    && python -m compileall -q project eventsinks

FROM base
RUN useradd --no-log-init --no-create-home --uid 10001 --shell /usr/sbin/nologin eventsinks
COPY --from=builder /venv /venv
COPY --from=builder /app /app
# By number, so that a cluster can see that it is not root. Everything above belongs to root.
USER 10001:10001
ENV PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
# The front answers it by itself, whatever the name. Docker, not Kubernetes, asks it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "import http.client, sys; web = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); web.request('GET', '/healthz'); sys.exit(web.getresponse().status != 200)"]
# The word for a warm stop: the web server ends its requests, a worker its exchanges.
STOPSIGNAL SIGTERM
CMD ["python", "-m", "project.serve", "--host=0.0.0.0"]
