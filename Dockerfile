# refseg serve on CPUs:
#   docker build -t refseg .
#   docker run --rm -p 8000:8000 refseg --weights selector
# Weights of your own: -v "$PWD/weights:/weights:ro" and --weights /weights/NAME. Those that `refseg weights get` fetches lie
# in /cache: docker run --rm -v refseg:/cache --entrypoint refseg refseg weights get coco80
FROM python:3.12-slim

WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu \
    ".[serve,video]" \
    && useradd --system --uid 10001 --create-home refseg \
    && mkdir /cache \
    && chown refseg /cache

ENV REFSEG_CACHE=/cache PYTHONUNBUFFERED=1
WORKDIR /home/refseg
USER 10001
VOLUME /cache
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]

ENTRYPOINT ["refseg", "serve", "--host", "0.0.0.0"]
