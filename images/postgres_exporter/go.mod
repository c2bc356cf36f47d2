module stackgate.k3s/images/postgres-exporter

go 1.26

require github.com/prometheus-community/postgres_exporter v0.17.1
