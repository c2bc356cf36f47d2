module stackgate.k3s/images/mongodb-exporter

go 1.26

require github.com/percona/mongodb_exporter v0.43.1
