import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import software.amazon.event.ruler.Machine;
import software.amazon.event.ruler.MachineComplexityEvaluator;

/**
 * Answers whether AWS's event-ruler finds that an event matches a pattern.
 *
 * Each line read is {"p": pattern, "e": event, "i": whether to use the index of the event that
 * versions since 2.0 have, "c": the most complexity that a pattern may have, or null}; each line
 * written is "match", "no", "pattern: REASON" for a pattern that is refused, or "event: REASON" for
 * an event that is.
 */
public final class Oracle {
    private Oracle() { }

    public static void main(String[] arguments) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        InputStreamReader bytes = new InputStreamReader(System.in, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(bytes);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode pair = mapper.readTree(line);
            Machine machine = Machine.builder()
                .withStructuredMatching(pair.get("i").asBoolean()).build();
            String answer = answer(machine, pair.get("p").asText(), pair.get("e").asText());
            if (pair.get("c").isInt() && complexity(machine) > pair.get("c").asInt()) {
                answer = "pattern: it is too complex";
            }
            out.println(answer.replace('\n', ' '));
        }
        out.flush();
    }

    private static int complexity(Machine machine) {
        return machine.evaluateComplexity(new MachineComplexityEvaluator(100));
    }

    private static String answer(Machine machine, String pattern, String event) {
        try {
            machine.addRule("rule", pattern);
        } catch (Exception refusal) {
            return "pattern: " + refusal.getMessage();
        }
        try {
            return machine.rulesForJSONEvent(event).isEmpty() ? "no" : "match";
        } catch (Exception refusal) {
            return "event: " + refusal.getMessage();
        }
    }
}
