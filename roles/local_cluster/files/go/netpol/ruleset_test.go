package netpol

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(namespace, name, node, ip string, ports ...corev1.ContainerPort) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Ports: ports}}},
		Status:     corev1.PodStatus{PodIP: ip, Phase: corev1.PodRunning},
	}
}

func app(name string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
}

func selecting(name string) *metav1.LabelSelector {
	selector := app(name)
	return &selector
}

func number(port int32) *intstr.IntOrString {
	value := intstr.FromInt32(port)
	return &value
}

func named(port string) *intstr.IntOrString {
	value := intstr.FromString(port)
	return &value
}

// rules renders the rules of node "here" for one policy in namespace "a" about the pod "server".
func rules(spec netv1.NetworkPolicySpec, more ...*corev1.Pod) string {
	http := corev1.ContainerPort{Name: "http", ContainerPort: 8080}
	other := corev1.ContainerPort{Name: "http", ContainerPort: 9090}
	spec.PodSelector = app("server")
	return Ruleset(State{
		Node: "here",
		Pods: append(more,
			pod("a", "server", "here", "10.42.0.2", http),
			pod("a", "friend", "there", "10.42.1.3", other),
			pod("b", "friend", "there", "10.42.1.4", http),
		),
		Namespaces: map[string]labels.Set{"a": {"team": "one"}, "b": {"team": "two"}},
		Policies:   []*netv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}, Spec: spec}},
	})
}

func TestMatches(t *testing.T) {
	udp, end := corev1.ProtocolUDP, int32(8099)
	in := func(rule netv1.NetworkPolicyIngressRule) netv1.NetworkPolicySpec {
		return netv1.NetworkPolicySpec{PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeIngress}, Ingress: []netv1.NetworkPolicyIngressRule{rule}}
	}
	out := func(rule netv1.NetworkPolicyEgressRule) netv1.NetworkPolicySpec {
		return netv1.NetworkPolicySpec{PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeEgress}, Egress: []netv1.NetworkPolicyEgressRule{rule}}
	}
	friend := []netv1.NetworkPolicyPeer{{PodSelector: selecting("friend")}}
	for name, test := range map[string]struct {
		spec netv1.NetworkPolicySpec
		want []string
	}{
		"anywhere": {in(netv1.NetworkPolicyIngressRule{}), []string{"return"}},
		"a pod of the same namespace": {
			in(netv1.NetworkPolicyIngressRule{From: friend}),
			[]string{"ip saddr { 10.42.1.3 } return"},
		},
		"pods of a namespace": {
			in(netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{
				{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "two"}}},
			}}),
			[]string{"ip saddr { 10.42.1.4 } return"},
		},
		"pods of every namespace": {
			in(netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{
				{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: selecting("friend")},
			}}),
			[]string{"ip saddr { 10.42.1.3, 10.42.1.4 } return"},
		},
		"a peer that is nobody": {
			in(netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{PodSelector: selecting("nobody")}}}),
			nil,
		},
		"a named port is the receiver's": {
			in(netv1.NetworkPolicyIngressRule{From: friend, Ports: []netv1.NetworkPolicyPort{{Port: named("http")}}}),
			[]string{"ip saddr { 10.42.1.3 } tcp dport 8080 return"},
		},
		"a named port on the way out is each peer's": {
			out(netv1.NetworkPolicyEgressRule{
				To:    []netv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: selecting("friend")}},
				Ports: []netv1.NetworkPolicyPort{{Port: named("http")}},
			}),
			[]string{"ip daddr 10.42.1.3 tcp dport 9090 return", "ip daddr 10.42.1.4 tcp dport 8080 return"},
		},
		"a named port that is not there": {
			in(netv1.NetworkPolicyIngressRule{From: friend, Ports: []netv1.NetworkPolicyPort{{Port: named("ftp")}}}),
			nil,
		},
		"a range of ports, a protocol, all ports of one": {
			in(netv1.NetworkPolicyIngressRule{Ports: []netv1.NetworkPolicyPort{{Port: number(8000), EndPort: &end}, {Port: number(53), Protocol: &udp}, {Protocol: &udp}}}),
			[]string{"tcp dport 8000-8099 return", "udp dport 53 return", "meta l4proto udp return"},
		},
		"a block with a hole": {
			out(netv1.NetworkPolicyEgressRule{To: []netv1.NetworkPolicyPeer{{IPBlock: &netv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}}}}),
			[]string{"ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16 } return"},
		},
		"a block that is not IPv4": {
			out(netv1.NetworkPolicyEgressRule{To: []netv1.NetworkPolicyPeer{{IPBlock: &netv1.IPBlock{CIDR: "fd00::/8"}}}}),
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, line := range strings.Split(rules(test.spec), "\n") {
				if line = strings.TrimSpace(line); strings.HasSuffix(line, "return") {
					got = append(got, line)
				}
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestIsolationIsPerDirection(t *testing.T) {
	got := rules(netv1.NetworkPolicySpec{PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeIngress}})
	if !strings.Contains(got, "ip daddr vmap { 10.42.0.2 : jump to_10_42_0_2 }") {
		t.Error("the pod is not protected:", got)
	}
	if strings.Contains(got, "saddr vmap") {
		t.Error("what the pod sends is held up:", got)
	}
}

func TestOnlyOwnNetworkedPodsOfThisNodeGetChains(t *testing.T) {
	onHost := pod("a", "server", "here", "10.231.0.11")
	onHost.Spec.HostNetwork = true
	over := pod("a", "server", "here", "10.42.0.9")
	over.Status.Phase = corev1.PodSucceeded
	elsewhere := pod("a", "server", "there", "10.42.1.9")
	got := rules(netv1.NetworkPolicySpec{PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeIngress}}, onHost, over, elsewhere)
	if strings.Count(got, "chain to_") != 1 {
		t.Error(got)
	}
}
