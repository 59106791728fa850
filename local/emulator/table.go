package emulator

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// CreateTable creates the service's table (contract, section 5) under the given
// name: its keys, both indexes, its stream, and the attribute that lets items
// expire.
func CreateTable(ctx context.Context, client *dynamodb.Client, name string) error {
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		KeySchema:   keys("PK", "SK"),
		AttributeDefinitions: []types.AttributeDefinition{
			text("PK"), text("SK"), text("GSI1_PK"), text("GSI1_SK"), text("GSI2_PK"), text("GSI2_SK"),
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
			index("OrdersByDateIndex", "GSI1_PK", "GSI1_SK", &types.Projection{
				ProjectionType:   types.ProjectionTypeInclude,
				NonKeyAttributes: []string{"id", "orderNumber", "status", "total", "currency", "dateCreated", "active"},
			}),
			index("OrderByIdIndex", "GSI2_PK", "GSI2_SK", &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}),
		},
		StreamSpecification: &types.StreamSpecification{
			StreamEnabled:  aws.Bool(true),
			StreamViewType: types.StreamViewTypeNewAndOldImages,
		},
	})
	if err != nil {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(name),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String("expiresAt"),
			Enabled:       aws.Bool(true),
		},
	})
	if err != nil {
		return fmt.Errorf("let items of table %s expire: %w", name, err)
	}
	return nil
}

func keys(partition, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: aws.String(partition), KeyType: types.KeyTypeHash},
		{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange},
	}
}

func text(name string) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS}
}

func index(name, partition, sort string, projection *types.Projection) types.GlobalSecondaryIndex {
	return types.GlobalSecondaryIndex{
		IndexName:  aws.String(name),
		KeySchema:  keys(partition, sort),
		Projection: projection,
	}
}
