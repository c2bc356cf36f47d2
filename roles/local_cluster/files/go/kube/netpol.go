package main

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"stackgate.local/embedded/netpol"
)

// networkPolicies enforces NetworkPolicy for the pods of one node, with one nftables table that is replaced as a whole.
// It stands where k3s embeds kube-router.
func networkPolicies() error {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	node := flag.String("node", "", "name of the node whose pods are protected")
	flag.Parse()
	client, err := connect(*kubeconfig)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	namespaces := factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	watched := []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()}
	loaded := ""
	return reconcile(genericapiserver.SetupSignalContext(), factory, watched, func(ctx context.Context) error {
		state := netpol.State{Node: *node, Namespaces: map[string]labels.Set{}}
		all, err := namespaces.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		for _, namespace := range all {
			state.Namespaces[namespace.Name] = namespace.Labels
		}
		if state.Pods, err = pods.Lister().List(labels.Everything()); err != nil {
			return err
		}
		if state.Policies, err = policies.Lister().List(labels.Everything()); err != nil {
			return err
		}
		rules := netpol.Ruleset(state)
		if rules == loaded {
			return nil
		}
		nft := exec.CommandContext(ctx, "nft", "-f", "-")
		nft.Stdin = strings.NewReader(rules)
		if output, err := nft.CombinedOutput(); err != nil {
			return fmt.Errorf("nft: %w: %s", err, output)
		}
		loaded = rules
		klog.InfoS("rules loaded", "policies", len(state.Policies), "pods", len(state.Pods))
		return nil
	})
}
