# Sourced by common.bash. What a cluster is made of; the cache's name is this file's hash, so a change builds anew.
# etcd, CoreDNS and pause are the ones that kubeadm of this Kubernetes asks for. 1.34 is the last minor version whose
# kubelet runs on version 1 control groups without being told twice.
kubernetes_version=1.34.4
etcd_version=3.6.5
coredns_version=v1.12.1
pause_version=3.10.1
kind_version=v0.33.0
helm_version=v4.3.1
metrics_server_version=v0.9.0
local_path_version=v0.0.30
# The newest that one of them asks for is helm's.
go_version=1.26.8
