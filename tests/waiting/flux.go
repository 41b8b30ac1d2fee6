package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
)

var imageTask = schema.GroupVersionKind{Group: "ecs.volcengine.com", Version: "v1alpha1", Kind: "ImageTask"}

// fluxWait waits for an ImageTask of a cluster, as kustomize-controller and helm-controller do.
func fluxWait(namespace, name string, timeout time.Duration) error {
	cluster, err := config.GetConfig()
	if err != nil {
		return err
	}
	reader, err := client.New(cluster, client.Options{Mapper: mapper()})
	if err != nil {
		return err
	}
	return wait(context.Background(), reader, namespace, name, ssa.WaitOptions{Interval: time.Second, Timeout: timeout})
}

// fluxVerdict lets the same code wait for an object that stays as it is: whether it is ready, failed, or waited for on.
func fluxVerdict(task *unstructured.Unstructured) (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cluster := &frozen{task: task, enough: cancel}
	options := ssa.WaitOptions{Interval: 10 * time.Millisecond, Timeout: time.Minute}
	switch err := wait(ctx, cluster, task.GetNamespace(), task.GetName(), options); {
	case err == nil:
		return "ready", nil
	case errors.Is(err, context.Canceled):
		return "waits", nil
	case strings.Contains(err.Error(), "failed early due to stalled resources"):
		return "failed", nil
	default:
		return "", err
	}
}

// wait fails fast, which is the default of Flux's controllers.
func wait(ctx context.Context, cluster client.Reader, namespace, name string, options ssa.WaitOptions) error {
	poller := polling.NewStatusPoller(cluster, mapper(), polling.Options{})
	manager := ssa.NewResourceManager(nil, poller, ssa.Owner{Field: "verdicts"})
	options.FailFast = true
	set := object.ObjMetadataSet{{GroupKind: imageTask.GroupKind(), Namespace: namespace, Name: name}}
	return manager.WaitForSetWithContext(ctx, set, options)
}

func mapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{imageTask.GroupVersion()})
	mapper.Add(imageTask, meta.RESTScopeNamespace)
	return mapper
}

// frozen is a cluster of one object that never changes.
type frozen struct {
	task   *unstructured.Unstructured
	looks  atomic.Int32
	enough func()
}

// patience is the number of looks after which a wait goes on for ever.
const patience = 20

func (f *frozen) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	asked, ok := into.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%T is asked for, not an object of whatever kind", into)
	}
	f.task.DeepCopyInto(asked)
	return nil
}

func (f *frozen) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	asked, ok := into.(*unstructured.UnstructuredList)
	if !ok {
		return fmt.Errorf("%T is asked for, not a list of whatever kind", into)
	}
	if f.looks.Add(1) == patience {
		f.enough()
	}
	asked.Items = []unstructured.Unstructured{*f.task.DeepCopy()}
	return nil
}
