module stackgate.k3s/images/redis-exporter

go 1.26

require github.com/oliver006/redis_exporter v1.61.0
