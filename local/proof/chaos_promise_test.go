package proof

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// check holds what is left against what was promised.
func (sim *simulation) check() {
	sim.Team, sim.Bucket, sim.Links = teamAddress, ordersBucket, "https://"
	sim.startReads()
	sim.settle()
	sim.Totals = func(tenant, cart string) (subtotal, tax, total string) { return sim.basketOf(tenant, cart).totals() }
	s := store.New(dynamodb.NewFromConfig(awsConfig(sim.world)), tableName, sim.clock)
	sim.Order = func(tenant, id string) (order.Order, error) { return s.Order(context.Background(), tenant, id) }
	sim.Brand = sim.brandOf
	for _, name := range sim.world.Objects() {
		if strings.HasPrefix(name, ordersBucket+"/") {
			sim.Objects[name], _ = sim.world.Object(name)
		}
	}
	for _, s := range sim.sources {
		sim.Queues = append(sim.Queues, Leftover{
			Role: s.role, Left: bodies(s.queue), Dead: bodies(s.queue.Dead()), Noise: sim.deadNoise[s.queue],
		})
	}
	sim.Lost = bodies(sim.world.LostEvents())
	sim.Check()
	sim.checkExpiry()
}

func bodies(q *Queue) (all []string) {
	for _, m := range q.Messages() {
		all = append(all, m.Body)
	}
	return all
}

// startReads reads everything through the API, after all has come to rest.
func (sim *simulation) startReads() {
	for _, tenant := range tenants() {
		seen := map[string]bool{}
		sim.Listed[tenant] = seen
		go sim.ReadList(sim, tenant, seen)
	}
	for i, wi := range sim.Wishes {
		if wi.OrderID != "" {
			reader := Actor{Client: fmt.Sprintf("reader %d", i), Tenant: wi.Actor.Tenant}
			go sim.ReadOrder(sim, reader, wi, i%20 == 0)
		}
	}
}

// brandOf returns what a tenant's documents show: only the common company has a
// logo beside it.
func (sim *simulation) brandOf(tenant string) (order.Supplier, invoice.Logo) {
	company, ok := sim.world.Object(templatesBucket + "/branding/" + tenant + "/company.json")
	var logo invoice.Logo
	var err error
	if !ok {
		company, _ = sim.world.Object(templatesBucket + "/branding/company.json")
		if logo, err = invoice.ParseLogo(smallLogo()); err != nil {
			sim.t.Fatal(err)
		}
	}
	supplier, err := order.ParseSupplier(company.Body)
	if err != nil {
		sim.t.Fatal(err)
	}
	return supplier, logo
}

// checkExpiry: after a month DynamoDB forgets what was never recorded, and that
// is no news to anybody.
func (sim *simulation) checkExpiry() {
	published := sim.Events()
	time.Sleep(31 * 24 * time.Hour)
	sim.Add("items expired", sim.world.Table.Expire())
	sim.settle()
	if sim.Events() != published {
		sim.Broken("what expired was published")
	}
	for i, wi := range sim.Wishes {
		if wi.Bad() && wi.OrderID != "" {
			latecomer := Actor{Client: fmt.Sprintf("latecomer %d", i), Tenant: wi.Actor.Tenant}
			go func() {
				if c := sim.Get(latecomer, wi.OrderID); c.Status != http.StatusNotFound {
					sim.Broken("order %s: GET was answered %d after it expired", wi.OrderID, c.Status)
				}
			}()
		}
	}
	sim.settle()
}
