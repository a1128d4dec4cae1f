# Two stages: everything is built in the first, only what runs is in the second.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/opsorch/venv
COPY requirements.lock ./
RUN /opt/opsorch/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY opsorch ./opsorch
COPY plugins ./plugins
RUN /opt/opsorch/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
# An init as PID 1 reaps what plugins leave behind; wget is what health checks usually call.
RUN apt-get update && apt-get install -y --no-install-recommends tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/opsorch --create-home opsorch \
    && mkdir -p /opt/opsorch/plugins
COPY --from=build /opt/opsorch/venv /opt/opsorch/venv
ENV PATH=/opt/opsorch/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OPSORCH_DATA_DIR=/var/lib/opsorch
WORKDIR /opt/opsorch
USER opsorch
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
ENTRYPOINT ["tini", "-g", "--"]
CMD ["opsorch", "serve"]
