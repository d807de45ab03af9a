# The ardcube command line: pinned, hashed dependencies and the project's wheel. Any user may run it.

FROM python:3.11-slim-bookworm AS builder

WORKDIR /src

# Dependencies first, so that Docker keeps this layer until requirements/ changes.
COPY requirements/ requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/bootstrap.txt \
    && python -m venv --without-pip /opt/ardcube \
    && /opt/build/bin/uv pip install --no-cache --compile-bytecode --require-hashes \
        --python /opt/ardcube/bin/python -r requirements/run.txt

COPY pyproject.toml ./
COPY ardcube/ ardcube/
COPY flows/ flows/
COPY hooks/ hooks/
COPY tasks/ tasks/
RUN /opt/build/bin/hatchling build --target wheel \
    && /opt/build/bin/uv pip install --no-cache --compile-bytecode --no-deps \
        --python /opt/ardcube/bin/python dist/*.whl


FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="ard-process" \
    org.opencontainers.image.description="ardcube: analysis-ready data cubes of satellite composites" \
    org.opencontainers.image.licenses="Apache-2.0"

# Any uid may run the image on a read-only root, because it writes only to /tmp, /app/data and /app/output.
# LOGNAME replaces the passwd entry, which such a uid does not have. Allocators: docs/decisions/0016-threads-and-memory.md.
ENV PATH=/opt/ardcube/bin:$PATH \
    HOME=/tmp \
    LOGNAME=ardcube \
    PREFECT_HOME=/tmp/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    NUMBA_CACHE_DIR=/tmp/numba \
    ARROW_DEFAULT_MEMORY_POOL=system \
    MALLOC_ARENA_MAX=1 \
    MALLOC_MMAP_THRESHOLD_=33554432 \
    MALLOC_TRIM_THRESHOLD_=128000000 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# GDAL in rasterio's wheel links the system's libexpat, which a slim image lacks. `2.5.*` is the version of bookworm
# with its current security updates.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1=2.5.* \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --uid 1000 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin ardcube \
    && mkdir -p /app/data /app/output \
    && chmod 1777 /app/output

COPY --from=builder /opt/ardcube /opt/ardcube

WORKDIR /app
USER 1000:1000

ENTRYPOINT ["ardcube"]
CMD ["--help"]
