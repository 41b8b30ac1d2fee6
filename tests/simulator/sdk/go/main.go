// Command go-client reads tasks with the official Go SDK and prints them as one JSON document.
//
// The environment says whom to ask and with what: ENDPOINT (a URL), VOLCSTACK_CA_BUNDLE (for
// https, read by the SDK itself), VOLCENGINE_ACCESS_KEY, VOLCENGINE_SECRET_KEY,
// VOLCENGINE_SESSION_TOKEN, VOLCENGINE_REGION. The arguments are task ids. All pages of the
// default size are followed.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/volcengine/volcengine-go-sdk/service/ecs"
	"github.com/volcengine/volcengine-go-sdk/volcengine"
	"github.com/volcengine/volcengine-go-sdk/volcengine/credentials"
	"github.com/volcengine/volcengine-go-sdk/volcengine/session"
	"github.com/volcengine/volcengine-go-sdk/volcengine/volcengineerr"
)

type read struct {
	Pages int                               `json:"pages"`
	Tasks []*ecs.TaskForDescribeTasksOutput `json:"tasks"`
}

type refused struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(taskIDs []string) error {
	client, err := newClient()
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	tasks, err := describe(client, taskIDs)
	var failure volcengineerr.RequestFailure
	if errors.As(err, &failure) {
		return out.Encode(refused{Status: failure.StatusCode(), Code: failure.Code()})
	}
	if err != nil {
		return err
	}
	return out.Encode(tasks)
}

func newClient() (*ecs.ECS, error) {
	endpoint, err := url.Parse(os.Getenv("ENDPOINT"))
	if err != nil {
		return nil, err
	}
	keys := credentials.NewStaticCredentials(
		os.Getenv("VOLCENGINE_ACCESS_KEY"),
		os.Getenv("VOLCENGINE_SECRET_KEY"),
		os.Getenv("VOLCENGINE_SESSION_TOKEN"),
	)
	config := volcengine.NewConfig().
		WithCredentials(keys).
		WithRegion(os.Getenv("VOLCENGINE_REGION")).
		WithEndpoint(endpoint.Host).
		WithDisableSSL(endpoint.Scheme == "http")
	opened, err := session.NewSession(config)
	if err != nil {
		return nil, err
	}
	return ecs.New(opened), nil
}

func describe(client *ecs.ECS, taskIDs []string) (*read, error) {
	input := &ecs.DescribeTasksInput{TaskIds: volcengine.StringSlice(taskIDs)}
	result := &read{}
	for {
		page, err := client.DescribeTasks(input)
		if err != nil {
			return nil, err
		}
		result.Pages++
		result.Tasks = append(result.Tasks, page.Tasks...)
		if volcengine.StringValue(page.NextToken) == "" {
			return result, nil
		}
		input.NextToken = page.NextToken
	}
}
