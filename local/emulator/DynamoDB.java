import com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBRequestHandler;
import com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBServerHandler;
import java.net.InetSocketAddress;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/**
 * DynamoDB Local on a free port of the loopback interface, in memory, with one database for all credentials. Its own
 * command line binds every interface. Prints its port when it answers; ends when standard input does, so that it
 * never outlives the process that started it.
 */
class DynamoDB {
    public static void main(String[] args) throws Exception {
        System.setProperty("org.eclipse.jetty.util.log.announce", "false");
        System.setProperty("org.eclipse.jetty.LEVEL", "WARN");

        var requests = new LocalDynamoDBRequestHandler(0, true, null, true, false);
        var server = new Server(new InetSocketAddress("127.0.0.1", 0));
        server.setHandler(new LocalDynamoDBServerHandler(requests, "*"));
        server.start();
        System.out.println("{\"dynamodb\":" + ((ServerConnector) server.getConnectors()[0]).getLocalPort() + "}");

        while (System.in.read() >= 0) {}
        Runtime.getRuntime().halt(0);
    }
}
