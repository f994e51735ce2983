// Runs ElasticMQ on a free port of 127.0.0.1 and says which, as JSON.
//
// Its own command line cannot take a free port and say so. URLs of queues name the host that the
// request was sent to, and it ends when standard input does.

import java.lang.reflect.Method;

public final class ElasticMq {
    /** Takes the region and the account of the queues. */
    public static void main(String[] arguments) throws Exception {
        Class<?> address = Class.forName("org.elasticmq.NodeAddress");
        Object anyHost = address.getConstructor(String.class, String.class, int.class, String.class)
                .newInstance("http", "*", 0, "");
        Object builder = Class.forName("org.elasticmq.rest.sqs.SQSRestServerBuilder")
                .getMethod("withPort", int.class)
                .invoke(null, 0);
        builder = with(builder, "withInterface", String.class, "127.0.0.1");
        builder = with(builder, "withServerAddress", address, anyHost);
        builder = with(builder, "withAWSRegion", String.class, arguments[0]);
        builder = with(builder, "withAWSAccountId", String.class, arguments[1]);
        Object binding = call(call(builder, "start"), "waitUntilStarted");
        System.out.println("{\"port\": " + call(call(binding, "localAddress"), "getPort") + "}");
        System.out.flush();
        while (System.in.read() >= 0) {
            // Whatever is written to it means nothing; only its end does.
        }
        // Its own threads would hold the process, and queues in memory have nothing to save.
        Runtime.getRuntime().halt(0);
    }

    private static Object with(Object on, String method, Class<?> type, Object value)
            throws Exception {
        return on.getClass().getMethod(method, type).invoke(on, value);
    }

    private static Object call(Object on, String method) throws Exception {
        Method found = on.getClass().getMethod(method);
        return found.invoke(on);
    }
}
