package main

import (
	"context"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	// Changes that arrive together (a rollout) are handled together.
	settle = 50 * time.Millisecond
	// After a failure, and when nothing changed: whatever else touched the result is put right.
	retryAfter  = time.Second
	resyncEvery = time.Minute
)

func connect(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// reconcile calls step after every change that one of the informers reports, until ctx ends.
func reconcile(ctx context.Context, factory informers.SharedInformerFactory, watched []cache.SharedIndexInformer, step func(context.Context) error) error {
	changed := make(chan struct{}, 1)
	mark := func() {
		select {
		case changed <- struct{}{}:
		default: // already marked
		}
	}
	for _, informer := range watched {
		handler := cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { mark() },
			UpdateFunc: func(any, any) { mark() },
			DeleteFunc: func(any) { mark() },
		}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	mark()
	resync := time.NewTicker(resyncEvery)
	defer resync.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			time.Sleep(settle)
		case <-resync.C:
		}
		if err := step(ctx); err != nil {
			klog.ErrorS(err, "will be tried again", "after", retryAfter)
			time.AfterFunc(retryAfter, mark)
		}
	}
}
