// Command verdicts tells what the tools that wait make of ImageTasks.
//
//	verdicts CUSTOMIZATIONS
//
// reads objects from stdin, as JSON one after the other, and prints for each a line with three words: the status that the
// kstatus library computes, what Flux's wait does (ready, failed or waits), and the health that Argo CD's script gives; the
// scripts are in the directory CUSTOMIZATIONS.
//
//	verdicts CUSTOMIZATIONS ACTION
//
// reads one object and prints it as an action of Argo CD leaves it.
//
//	verdicts flux-wait NAMESPACE NAME TIMEOUT
//
// waits for an ImageTask of the cluster in KUBECONFIG as Flux's controllers do with `wait: true`.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "verdicts:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "flux-wait":
		timeout, err := time.ParseDuration(args[3])
		if err != nil {
			return err
		}
		return fluxWait(args[1], args[2], timeout)
	case len(args) == 2:
		return act(customizations(args[0]), args[1], os.Stdin, os.Stdout)
	case len(args) == 1:
		return tell(customizations(args[0]), os.Stdin, os.Stdout)
	}
	return errors.New("usage: verdicts CUSTOMIZATIONS [ACTION] | verdicts flux-wait NAMESPACE NAME TIMEOUT")
}

func tell(scripts customizations, objects io.Reader, words io.Writer) error {
	all, err := read(objects)
	if err != nil {
		return err
	}
	lines := make([]string, len(all))
	errs := make([]error, len(all))
	var told sync.WaitGroup
	for i, object := range all {
		told.Go(func() { lines[i], errs[i] = verdicts(scripts, object) })
	}
	told.Wait()
	for _, line := range lines {
		fmt.Fprintln(words, line)
	}
	return errors.Join(errs...)
}

func verdicts(scripts customizations, object *unstructured.Unstructured) (string, error) {
	result, err := status.Compute(object)
	if err != nil {
		return "", fmt.Errorf("kstatus of %s: %w", object.GetName(), err)
	}
	flux, err := fluxVerdict(object)
	if err != nil {
		return "", fmt.Errorf("flux on %s: %w", object.GetName(), err)
	}
	health, err := scripts.health(object)
	if err != nil {
		return "", fmt.Errorf("health of %s: %w", object.GetName(), err)
	}
	return fmt.Sprintf("%s %s %s", result.Status, flux, health.Status), nil
}

func act(scripts customizations, action string, objects io.Reader, changed io.Writer) error {
	all, err := read(objects)
	if err != nil {
		return err
	}
	if len(all) != 1 {
		return fmt.Errorf("an action takes one object, not %d", len(all))
	}
	after, err := scripts.act(action, all[0])
	if err != nil {
		return err
	}
	return json.NewEncoder(changed).Encode(after)
}

func read(objects io.Reader) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	decoder := json.NewDecoder(objects)
	for {
		var object unstructured.Unstructured
		switch err := decoder.Decode(&object); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, &object)
	}
}
