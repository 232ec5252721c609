# docs/deployment.md says how it is used. tests/shipping/test_image.py runs each step where there is no Docker.

FROM python:3.13-slim-bookworm AS build
WORKDIR /app
# Neither pip nor a compiler is in what is copied: every package comes as a wheel.
RUN python -m venv --without-pip /venv
COPY requirements.txt .
RUN python -m pip --python /venv/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r requirements.txt
COPY . .
RUN SECRET_KEY=only-to-collect /venv/bin/python manage.py collectstatic --noinput

FROM python:3.13-slim-bookworm
# As lexicon/__init__.py has it.
LABEL org.opencontainers.image.title=lexicon \
    org.opencontainers.image.version=1.1.0.dev0
RUN python -m pip uninstall --yes pip \
    && useradd --system --uid 10001 --user-group --home-dir /app --shell /usr/sbin/nologin lexicon \
    && mkdir /data \
    && chown lexicon:lexicon /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
# Its number, because some platforms will only believe that it is not root when they can read that.
USER 10001
# Nothing is written but to /data (and /tmp): the rest may be read-only.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    LOG_FORMAT=json \
    DATABASE_URL=sqlite:////data/db.sqlite3
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
# Migrations are a step of their own: docker run … lexicon python manage.py migrate
CMD ["python", "-m", "lexicon.serve"]
