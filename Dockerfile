FROM python:3.12-slim AS build
# "web" adds what `ringproof serve` needs, and "local" what `ringproof sandbox` does; the workers need none.
ARG EXTRAS=""
WORKDIR /src
COPY . .
RUN python -m venv /opt/ringproof \
 && /opt/ringproof/bin/pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home ringproof
COPY --from=build /opt/ringproof /opt/ringproof
ENV PATH=/opt/ringproof/bin:$PATH PYTHONUNBUFFERED=1
USER ringproof
# Not the source: what runs is what was installed.
WORKDIR /home/ringproof
CMD ["celery", "-A", "worker", "worker"]
