// Runs DynamoDB Local, any version, on a free port of 127.0.0.1 and says which, as JSON.
//
// The server of its own command line listens on every interface. Here it is made the same way,
// its connectors are moved to loopback before it starts, and it ends when standard input does.

import java.lang.reflect.Field;
import java.util.Arrays;

public final class Loopback {
    /** Takes the name of the version's ServerRunner, then that one's arguments. */
    public static void main(String[] arguments) throws Exception {
        String[] rest = Arrays.copyOfRange(arguments, 1, arguments.length);
        Object proxy = Class.forName(arguments[0])
                .getMethod("createServerFromCommandLineArgs", String[].class)
                .invoke(null, (Object) rest);
        Field field = proxy.getClass().getDeclaredField("server");
        field.setAccessible(true);
        Object server = field.get(proxy);
        Object[] connectors = (Object[]) call(server, "getConnectors");
        for (Object connector : connectors) {
            Class<?> kind = connector.getClass();
            kind.getMethod("setHost", String.class).invoke(connector, "127.0.0.1");
            kind.getMethod("setPort", int.class).invoke(connector, 0);
        }
        call(proxy, "start");
        System.out.println("{\"port\": " + call(connectors[0], "getLocalPort") + "}");
        System.out.flush();
        while (System.in.read() >= 0) {
            // Whatever is written to it means nothing; only its end does.
        }
        // Its own threads would hold the process, and an in-memory database has nothing to save.
        Runtime.getRuntime().halt(0);
    }

    private static Object call(Object on, String method) throws Exception {
        return on.getClass().getMethod(method).invoke(on);
    }
}
