package main

import (
	"context"
	"flag"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// serviceLoadBalancer writes node addresses into the status of Services of type LoadBalancer: those of all Ready nodes,
// or, with externalTrafficPolicy Local, of the Ready nodes that have an endpoint. kube-proxy on the node does the
// forwarding. It stands where k3s runs klipper-lb's pods.
func serviceLoadBalancer() error {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	flag.Parse()
	client, err := connect(*kubeconfig)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	nodes := factory.Core().V1().Nodes()
	endpoints := factory.Discovery().V1().EndpointSlices()
	watched := []cache.SharedIndexInformer{services.Informer(), nodes.Informer(), endpoints.Informer()}
	return reconcile(genericapiserver.SetupSignalContext(), factory, watched, func(ctx context.Context) error {
		allNodes, err := nodes.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		allServices, err := services.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		for _, service := range allServices {
			if service.Spec.Type != corev1.ServiceTypeLoadBalancer || service.Spec.LoadBalancerClass != nil || service.DeletionTimestamp != nil {
				continue
			}
			var only map[string]bool
			if service.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
				own := labels.Set{discoveryv1.LabelServiceName: service.Name}.AsSelector()
				found, err := endpoints.Lister().EndpointSlices(service.Namespace).List(own)
				if err != nil {
					return err
				}
				only = nodesWithEndpoint(found)
			}
			want := addresses(allNodes, only)
			if reflect.DeepEqual(service.Status.LoadBalancer.Ingress, want) {
				continue
			}
			service = service.DeepCopy()
			service.Status.LoadBalancer.Ingress = want
			if _, err := client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, service, metav1.UpdateOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
}

func nodesWithEndpoint(found []*discoveryv1.EndpointSlice) map[string]bool {
	names := map[string]bool{}
	for _, slice := range found {
		for _, endpoint := range slice.Endpoints {
			if endpoint.NodeName != nil && (endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready) {
				names[*endpoint.NodeName] = true
			}
		}
	}
	return names
}

// addresses lists the internal addresses of the Ready nodes, narrowed to `only` unless that is nil.
func addresses(nodes []*corev1.Node, only map[string]bool) []corev1.LoadBalancerIngress {
	mode := corev1.LoadBalancerIPModeVIP
	var found []corev1.LoadBalancerIngress
	for _, node := range nodes {
		_, excluded := node.Labels[corev1.LabelNodeExcludeBalancers]
		if excluded || !ready(node) || (only != nil && !only[node.Name]) {
			continue
		}
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				found = append(found, corev1.LoadBalancerIngress{IP: address.Address, IPMode: &mode})
			}
		}
	}
	slices.SortFunc(found, func(a, b corev1.LoadBalancerIngress) int { return strings.Compare(a.IP, b.IP) })
	return found
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
