module stackgate.k3s/mongodb-member

go 1.26
