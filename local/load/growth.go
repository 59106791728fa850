package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/local/stack"
)

const samples = 60 // of each kind of request, for each size

// growth fills one tenant after the other and shows what a create, a get, and the first and a later page of a list take.
func (l *load) growth(ctx context.Context, sizes string) error {
	if sizes == "" {
		return nil
	}
	_, _ = fmt.Fprintf(l.out, "\n### Growth: medians with so many orders in one tenant\n\n| orders | create | get | first page | by date | page in the middle |\n|---|---|---|---|---|---|\n")
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 || n > 1_000_000 {
			return fmt.Errorf("size %q must be a whole number up to a million", size)
		}
		c, err := l.newCaller("growth-" + size)
		if err != nil {
			return err
		}
		ids, err := l.fill(ctx, c.tenant, n)
		if err != nil {
			return err
		}
		list := "/v1.0/tenants/" + c.tenant + "/orders?pageSize=50"
		middle, err := l.token(ctx, c, list, min(n/100, 20)) // far enough to be no first page
		if err != nil {
			return err
		}
		row := make([]string, 5)
		for i, path := range []string{"", "/v1.0/orders/", list, list + "&sort=-dateCreated", list + "&startAt=" + middle} {
			l.reset()
			for k := range samples {
				switch i {
				case 0:
					_, err = l.create(ctx, c)
				case 1:
					err = l.call(ctx, c, "GET", path+ids[k*len(ids)/samples], nil, nil, 200)
				default:
					err = l.call(ctx, c, "GET", path, nil, nil, 200)
				}
				if err != nil {
					return err
				}
			}
			took := slices.Concat(slices.Collect(maps.Values(l.took))...)
			slices.Sort(took)
			row[i] = fmt.Sprintf("%.1f ms", float64(took[len(took)/2].Microseconds())/1000)
		}
		_, _ = fmt.Fprintf(l.out, "| %d | %s |\n", n, strings.Join(row, " | "))
	}
	return nil
}

// token returns the token of a page some pages on.
func (l *load) token(ctx context.Context, c caller, path string, pages int) (string, error) {
	token := ""
	for range pages {
		var page struct{ Pagination struct{ NextToken string } }
		at := path
		if token != "" {
			at += "&startAt=" + token
		}
		if err := l.call(ctx, c, "GET", at, nil, &page, 200); err != nil {
			return "", err
		}
		token = page.Pagination.NextToken
	}
	return token, nil
}

// fill writes n orders of a tenant past the service, made of the golden item of the store's tests, and returns the ids of some.
func (l *load) fill(ctx context.Context, tenant string, n int) ([]string, error) {
	root, err := emulator.Root()
	if err != nil {
		return nil, err
	}
	golden, err := os.ReadFile(filepath.Join(root, "store", "testdata", "order.json"))
	if err != nil {
		return nil, err
	}
	var stored map[string]any
	if err := json.Unmarshal(golden, &stored); err != nil {
		return nil, err
	}
	item := attribute(map[string]any{"M": stored}).(*types.AttributeValueMemberM).Value
	const batch, writers = 25, 4
	ids := make([]string, min(n, samples))
	var written atomic.Int64
	var group errgroup.Group
	group.SetLimit(writers)
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for first := 0; first < n && ctx.Err() == nil; first += batch {
		group.Go(func() error {
			var requests []types.WriteRequest
			for i := first; i < min(first+batch, n); i++ {
				id := lambdaapi.NewID()
				if k := i * len(ids) / n; i == (k*n+len(ids)-1)/len(ids) {
					ids[k] = id
				}
				created := start.Add(time.Duration(i) * time.Second).Format("2006-01-02T15:04:05.000000Z")
				o := maps.Clone(item)
				for name, value := range map[string]string{
					"PK": "TENANT#" + tenant, "SK": "ORDER#" + id, "GSI1_PK": "TENANT#" + tenant, "GSI1_SK": created + "#" + id,
					"GSI2_PK": "ORDER#" + id, "id": id, "tenantId": tenant, "dateCreated": created, "dateLastUpdated": created,
				} {
					o[name] = &types.AttributeValueMemberS{Value: value}
				}
				requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: o}})
			}
			for len(requests) > 0 {
				out, err := l.stack.DynamoDB.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
					RequestItems: map[string][]types.WriteRequest{stack.Table: requests},
				})
				if err != nil {
					return err
				}
				requests = out.UnprocessedItems[stack.Table]
			}
			if w := written.Add(batch); w%5000 == 0 {
				fmt.Fprintf(os.Stderr, "\rfilling %s: %d of %d ", tenant, w, n)
			}
			return nil
		})
	}
	return ids, group.Wait()
}

// attribute makes an attribute's value of its JSON form.
func attribute(v map[string]any) types.AttributeValue {
	for kind, value := range v {
		switch value := value.(type) {
		case bool:
			return &types.AttributeValueMemberBOOL{Value: value}
		case string:
			if kind == "N" {
				return &types.AttributeValueMemberN{Value: value}
			}
			return &types.AttributeValueMemberS{Value: value}
		case []any:
			list := &types.AttributeValueMemberL{}
			for _, element := range value {
				list.Value = append(list.Value, attribute(element.(map[string]any)))
			}
			return list
		case map[string]any:
			m := &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{}}
			for name, element := range value {
				m.Value[name] = attribute(element.(map[string]any))
			}
			return m
		}
	}
	return &types.AttributeValueMemberNULL{Value: true}
}
