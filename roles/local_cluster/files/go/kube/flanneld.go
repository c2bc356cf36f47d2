package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/iptables"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Seconds between two looks of flannel at its iptables rules.
const ruleResync = 60

// flanneld connects the pods of this node with those of the others (flannel as a library, as k3s uses it), and writes
// the node's CNI configuration. flannel's own main does not build from public modules, and needs a CNI plugin of its own.
func flanneld() error {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	network := flag.String("network", "/etc/flannel/network.json", "flannel's network configuration")
	device := flag.String("device", "eth0", "device that reaches the other nodes")
	cni := flag.String("cni", "/etc/cni/net.d/10-flannel.conflist", "CNI configuration to write")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	node := os.Getenv("NODE_NAME") // flannel's subnet manager reads the same variable
	if err := waitForPodNetwork(ctx, *kubeconfig, node); err != nil {
		return err
	}
	leases, err := kube.NewSubnetManager(ctx, "", *kubeconfig, "flannel.alpha.coreos.com", *network, false)
	if err != nil {
		return fmt.Errorf("subnet manager: %w", err)
	}
	config, err := leases.GetNetworkConfig(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", *network, err)
	}
	family, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return err
	}
	external, err := ipmatch.LookupExtIface(*device, "", "", family, ipmatch.PublicIPOpts{})
	if err != nil {
		return fmt.Errorf("device %s: %w", *device, err)
	}
	transport, err := backend.NewManager(ctx, leases, external).GetBackend(config.BackendType)
	if err != nil {
		return fmt.Errorf("backend %s: %w", config.BackendType, err)
	}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	overlay, err := transport.RegisterNetwork(ctx, &tasks, config)
	if err != nil {
		return fmt.Errorf("register with the cluster: %w", err)
	}
	lease := overlay.Lease()
	rules := &iptables.IPTablesManager{}
	if err := rules.Init(ctx); err != nil {
		return fmt.Errorf("iptables: %w", err)
	}
	none, none6 := ip.IP4Net{}, ip.IP6Net{}
	if err := rules.SetupAndEnsureMasqRules(ctx, config.Network, none, none, config.IPv6Network, none6, none6, lease, ruleResync, false); err != nil {
		return fmt.Errorf("masquerading: %w", err)
	}
	rules.SetupAndEnsureForwardRules(ctx, config.Network, config.IPv6Network, ruleResync)
	if err := writeCNI(*cni, lease.Subnet.String(), config.Network.String(), overlay.MTU()); err != nil {
		return err
	}
	tasks.Add(1)
	go func() { defer tasks.Done(); overlay.Run(ctx) }()
	if err := leases.CompleteLease(ctx, lease, &tasks); err != nil && ctx.Err() == nil {
		return fmt.Errorf("lease: %w", err)
	}
	return nil
}

// waitForPodNetwork returns once the controller manager has given the node its part of the pod network: a node that
// has just registered has none yet.
func waitForPodNetwork(ctx context.Context, kubeconfig, node string) error {
	client, err := connect(kubeconfig)
	if err != nil {
		return err
	}
	for {
		found, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err == nil && found.Spec.PodCIDR != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// writeCNI tells containerd how to give a pod its interface: a bridge per node, addresses by the node itself, and
// hostPorts. The kubelet calls the node Ready when this file is there, so it appears at once and whole.
func writeCNI(path, subnet, network string, mtu int) error {
	type object = map[string]any
	text, err := json.MarshalIndent(object{
		"cniVersion": "1.0.0",
		"name":       "cbr0",
		"plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "mtu": mtu,
				"isGateway": true, "hairpinMode": true, "forceAddress": true,
				"ipam": object{
					"type":   "host-local",
					"ranges": [][]object{{{"subnet": subnet}}},
					"routes": []object{{"dst": network}, {"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}, "snat": true},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
