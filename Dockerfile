# docker-compose.yml has the place to pin it; both stages must have the same Python.
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS build
# "web" adds what `ringproof serve` needs, and "local" what `ringproof sandbox` does; the workers need none.
ARG EXTRAS=""
WORKDIR /src
COPY . .
RUN python -m venv /opt/ringproof \
 && /opt/ringproof/bin/pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM ${PYTHON}
COPY --from=build /opt/ringproof /opt/ringproof
ENV PATH=/opt/ringproof/bin:$PATH PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root. Any other user will do, too: nothing here belongs to one.
USER 10001:10001
# Not the source: what runs is what was installed. Every user can read this folder, and none can write it.
WORKDIR /srv
CMD ["ringproof", "worker"]
