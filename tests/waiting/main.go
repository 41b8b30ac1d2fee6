// Command kstatus tells what the kstatus library makes of objects: it reads them from stdin, as JSON one after the other,
// and prints for each a line with its status, such as InProgress.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	if err := tell(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func tell(objects io.Reader, words io.Writer) error {
	decoder := json.NewDecoder(objects)
	for {
		var object unstructured.Unstructured
		switch err := decoder.Decode(&object); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		result, err := status.Compute(&object)
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if _, err := fmt.Fprintln(words, result.Status); err != nil {
			return err
		}
	}
}
