// Package netpol turns the NetworkPolicies that concern one node into an nftables ruleset. It is a pure function of
// the cluster's state, so that it can be tested without a cluster.
//
// A pod that at least one policy selects gets a chain per direction: what a rule allows returns from the chain, the
// rest is rejected. A pod that no policy selects has no chain. Traffic between a pod and its own node does not pass
// the forward hook: it is always allowed, as the API demands (the kubelet's probes).
// IPv4 only, as the cluster is.
package netpol

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// State is what the rules of one node depend on.
type State struct {
	Node       string
	Pods       []*corev1.Pod // of all nodes: they are peers
	Namespaces map[string]labels.Set
	Policies   []*netv1.NetworkPolicy
}

// A direction as nftables sees it: the field that holds the protected pod, and the one that holds its peer.
type direction struct {
	policyType  netv1.PolicyType
	chainPrefix string
	self, peer  string
}

var (
	egress  = direction{netv1.PolicyTypeEgress, "from", "saddr", "daddr"}
	ingress = direction{netv1.PolicyTypeIngress, "to", "daddr", "saddr"}
)

// Ruleset returns the whole table, for `nft -f -`: it replaces an older one in one transaction.
func Ruleset(state State) string {
	pods := slices.DeleteFunc(slices.Clone(state.Pods), func(pod *corev1.Pod) bool { return !networked(pod) })
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.Status.PodIP, b.Status.PodIP) })
	policies := slices.Clone(state.Policies)
	slices.SortFunc(policies, func(a, b *netv1.NetworkPolicy) int {
		return cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	state.Pods, state.Policies = pods, policies

	var chains strings.Builder
	jumps := map[direction][]string{}
	for _, pod := range pods {
		if pod.Spec.NodeName != state.Node {
			continue
		}
		for _, way := range []direction{egress, ingress} {
			allowed, isolated := state.allowed(pod, way)
			if !isolated {
				continue
			}
			chain := way.chainPrefix + "_" + strings.ReplaceAll(pod.Status.PodIP, ".", "_")
			fmt.Fprintf(&chains, "  chain %s { # %s/%s\n", chain, pod.Namespace, pod.Name)
			for _, match := range allowed {
				fmt.Fprintf(&chains, "    %s return\n", match)
			}
			chains.WriteString("    reject\n  }\n")
			jumps[way] = append(jumps[way], pod.Status.PodIP+" : jump "+chain)
		}
	}

	var table strings.Builder
	table.WriteString("table ip netpol\ndelete table ip netpol\ntable ip netpol {\n")
	table.WriteString(chains.String())
	table.WriteString("  chain forward {\n    type filter hook forward priority filter - 5; policy accept;\n")
	table.WriteString("    ct state established,related accept\n")
	for _, way := range []direction{egress, ingress} {
		if len(jumps[way]) > 0 {
			fmt.Fprintf(&table, "    ip %s vmap { %s }\n", way.self, strings.Join(jumps[way], ", "))
		}
	}
	table.WriteString("  }\n}\n")
	return table.String()
}

// networked says whether the pod has an address of its own that is in use.
func networked(pod *corev1.Pod) bool {
	over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return !pod.Spec.HostNetwork && pod.Status.PodIP != "" && !over
}

// allowed lists the matches that let a packet of the pod pass, and whether any policy isolates the pod in this direction.
func (state State) allowed(pod *corev1.Pod, way direction) (matches []string, isolated bool) {
	for _, policy := range state.Policies {
		if policy.Namespace != pod.Namespace || !slices.Contains(policy.Spec.PolicyTypes, way.policyType) || !selects(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		isolated = true
		if way == ingress {
			for _, rule := range policy.Spec.Ingress {
				matches = append(matches, state.rule(pod, way, rule.From, rule.Ports)...)
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				matches = append(matches, state.rule(pod, way, rule.To, rule.Ports)...)
			}
		}
	}
	return matches, isolated
}

// rule returns the matches of one rule: peers times ports.
func (state State) rule(pod *corev1.Pod, way direction, peers []netv1.NetworkPolicyPeer, ports []netv1.NetworkPolicyPort) []string {
	var receiver *corev1.Pod // whose named ports count
	if way == ingress {
		receiver = pod
	}
	if len(peers) == 0 { // from or to anywhere
		return portMatches(ports, receiver)
	}
	var matches, addresses []string
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if block := blockMatch(peer.IPBlock, way); block != "" {
				matches = append(matches, both(block, portMatches(ports, receiver))...)
			}
			continue
		}
		for _, other := range state.peerPods(pod.Namespace, peer) {
			if way == egress && anyNamed(ports) { // the number behind the name may differ from pod to pod
				matches = append(matches, both("ip daddr "+other.Status.PodIP, portMatches(ports, other))...)
			} else {
				addresses = append(addresses, other.Status.PodIP)
			}
		}
	}
	if len(addresses) > 0 {
		slices.Sort(addresses)
		set := fmt.Sprintf("ip %s { %s }", way.peer, strings.Join(slices.Compact(addresses), ", "))
		matches = append(matches, both(set, portMatches(ports, receiver))...)
	}
	return matches
}

// both joins an address match with each of the port matches.
func both(address string, ports []string) []string {
	var matches []string
	for _, port := range ports {
		matches = append(matches, strings.TrimSpace(address+" "+port))
	}
	return matches
}

// blockMatch is the match of an ipBlock, empty when it is not IPv4.
func blockMatch(block *netv1.IPBlock, way direction) string {
	prefix, err := netip.ParsePrefix(block.CIDR)
	if err != nil || !prefix.Addr().Is4() {
		return ""
	}
	match := fmt.Sprintf("ip %s %s", way.peer, prefix.Masked())
	if len(block.Except) > 0 {
		match += fmt.Sprintf(" ip %s != { %s }", way.peer, strings.Join(block.Except, ", "))
	}
	return match
}

// peerPods lists the pods that a peer without ipBlock means, seen from a policy in the namespace.
func (state State) peerPods(namespace string, peer netv1.NetworkPolicyPeer) []*corev1.Pod {
	var found []*corev1.Pod
	for _, pod := range state.Pods {
		inNamespace := pod.Namespace == namespace
		if peer.NamespaceSelector != nil {
			inNamespace = selects(peer.NamespaceSelector, state.Namespaces[pod.Namespace])
		}
		if inNamespace && (peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)) {
			found = append(found, pod)
		}
	}
	return found
}

// portMatches returns one match per port; no ports at all mean every port, which is the empty match. A named port is
// looked up in the receiver; one that it does not have matches nothing.
func portMatches(ports []netv1.NetworkPolicyPort, receiver *corev1.Pod) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var matches []string
	for _, port := range ports {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		name := strings.ToLower(string(protocol))
		switch {
		case port.Port == nil:
			matches = append(matches, "meta l4proto "+name)
		case port.Port.Type == intstr.String:
			for _, number := range numbersOf(receiver, port.Port.StrVal, protocol) {
				matches = append(matches, fmt.Sprintf("%s dport %d", name, number))
			}
		case port.EndPort != nil:
			matches = append(matches, fmt.Sprintf("%s dport %d-%d", name, port.Port.IntVal, *port.EndPort))
		default:
			matches = append(matches, fmt.Sprintf("%s dport %d", name, port.Port.IntVal))
		}
	}
	return matches
}

// numbersOf looks a named port up in a pod; nil has none.
func numbersOf(pod *corev1.Pod, name string, protocol corev1.Protocol) []int32 {
	var numbers []int32
	if pod == nil {
		return nil
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name && cmp.Or(port.Protocol, corev1.ProtocolTCP) == protocol {
				numbers = append(numbers, port.ContainerPort)
			}
		}
	}
	return numbers
}

func anyNamed(ports []netv1.NetworkPolicyPort) bool {
	return slices.ContainsFunc(ports, func(port netv1.NetworkPolicyPort) bool {
		return port.Port != nil && port.Port.Type == intstr.String
	})
}

func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}
