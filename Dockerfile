# plusmoin in a container, for images with triggers and a configuration to be
# derived from: see contrib/docker. make build makes bin/plusmoin.
FROM debian:trixie-slim

# A shell and jq are for triggers, tini ends what they leave behind, and
# "sslrootcert": "system" needs certificates. A tmpfs or a volume on /run/plusmoin
# takes over who may write there: everybody, as --user may name anybody.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates jq tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt/* /var/log/*.log \
 && groupadd --gid 10001 plusmoin \
 && useradd --uid 10001 --gid plusmoin --no-create-home --home-dir / --shell /usr/sbin/nologin plusmoin \
 && install -d /etc/plusmoin \
 && install -d -o plusmoin -g plusmoin -m 1777 /run/plusmoin

LABEL org.opencontainers.image.title="plusmoin" \
      org.opencontainers.image.description="Watches PostgreSQL clusters in master/slave replication"

# A number, so that an orchestrator can see that it is not root.
USER 10001:10001

# Unhealthy means that plusmoin hangs. How the servers are is for triggers and
# the status file to tell: restarting plusmoin would mend no server.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=2 CMD ["plusmoin", "status", "--alive"]

ENTRYPOINT ["tini", "--", "plusmoin"]
CMD ["-x", "start"]

COPY bin/plusmoin /usr/local/bin/
