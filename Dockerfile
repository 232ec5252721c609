# docker build -t lexicon . && docker run -p 8000:8000 --env-file .env lexicon
FROM python:3.13-slim AS build
WORKDIR /app
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
RUN SECRET_KEY=only-to-collect /venv/bin/python manage.py collectstatic --noinput

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app lexicon && mkdir /data && chown lexicon /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER lexicon
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8000 LOG_FORMAT=json \
    DATABASE_URL=sqlite:////data/db.sqlite3
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \
    CMD python -c "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=2)"
# Migrations are a step of their own: docker run … python manage.py migrate
CMD ["python", "-m", "lexicon.serve"]
