package edgeskel

import java.io.File
import kotlin.system.exitProcess
import org.json.JSONArray
import org.json.JSONObject

/**
 * Holds this package against golden vectors that `edgeskel.runtime` computed (python -m tests.targets.vectors).
 *
 * Needs nothing but the Kotlin compiler and org.json: `main` runs a file of them and ends with status 1 at the first that differs.
 */
object Vectors {
    /** @return how many comparisons were made. */
    fun run(text: String): Int {
        val all = JSONObject(text)
        var count = 0
        for (case in all.objects("resampler")) count += resampler(case)
        for (case in all.objects("naming")) count += naming(case)
        for (case in all.objects("manifest")) count += manifest(case)
        for (case in all.objects("choice")) count += choice(case)
        for (case in all.objects("unsteppable")) count += unsteppable(case)
        for (case in all.objects("file")) count += file(case)
        return count
    }

    private fun resampler(case: JSONObject): Int {
        val resampler = Resampler(case.getDouble("rate_hz"), case.getInt("persons"), case.getInt("joints"))
        var count = 0
        for ((push, expected) in case.objects("frames").zip(case.getJSONArray("settled").items())) {
            val settled = resampler.push(frame(push), push.optJSONArray("replaced")?.items()?.map { it as Boolean }?.toBooleanArray())
            val wanted = (expected as JSONArray).items().map { it as JSONObject }
            same("number of settled frames", wanted.size, settled.size)
            for ((want, seen) in wanted.zip(settled)) {
                same("time", want.getDouble("time"), seen.time)
                same("joints", want.floats("joints"), seen.joints)
                same("confidence", want.floats("confidence"), seen.confidence)
                count += 1
            }
        }
        return count
    }

    private fun naming(case: JSONObject): Int {
        val config = EventConfig(case.getDouble("temperature"), case.getDouble("threshold"), case.getDouble("begin"),
            case.getInt("confirm"), case.getDouble("smoothing"))
        val naming = ActionLabeller(case.texts("labels"), config)
        for (step in case.objects("steps")) {
            val sure = calibrated(step.floats("answer"), config.temperature)
            same("what it is named", step.text("named"), naming.push(sure)?.label)
            same("label at ${config.threshold}", step.text("last"), naming.last(sure).label)
            same("smoothed probabilities", step.floats("smooth"), naming.smooth!!)
        }
        return case.getJSONArray("steps").length()
    }

    private fun manifest(case: JSONObject): Int {
        val seen = try {
            read(case)
        } catch (error: BadBundle) {
            val said = error.message.orEmpty()
            if (case.has("says")) same("whether '$said' names ${case["says"]}", true, case.getString("says") in said)
            null
        }
        same("whether the manifest is taken (${case["what"]})", case.getBoolean("taken"), seen != null)
        if (seen != null && case.has("labels")) {
            same("labels", case.texts("labels"), seen.labels)
            same("hop", case.getInt("hop"), seen.window.hop)
            if (case.has("artifact")) same("artifact", case.getString("artifact"), seen.artifact().file)
        }
        if (seen != null && case.has("temperature")) {
            same("temperature", case.getDouble("temperature"), seen.calibration.temperature)
            same("threshold", case.getDouble("threshold"), seen.events().threshold)
        }
        if (seen != null && case.has("segmenter")) {
            val found = seen.events().segmenter
            same("segmenter", case.getJSONArray("segmenter").items().map { (it as Number).toDouble() },
                listOf(found.start, found.stop, found.stillS, found.longestS, found.shortestS, found.marginS))
        }
        if (seen != null && case.has("states")) {
            same("frames of a step", case.getInt("step_frames"), seen.step?.frames)
            same("states", case.getJSONArray("states").items().map { (it as JSONArray).items() }, seen.step?.states?.map { it.toList() })
        }
        return 1
    }

    private fun choice(case: JSONObject): Int {
        val seen = try {
            read(case).artifact(case.text("precision"), case.text("mode")?.let { Mode.valueOf(it) }).file
        } catch (error: BadBundle) {
            null
        }
        same("artifact in ${case["precision"]} by ${case["mode"]}", case.text("file"), seen)
        return 1
    }

    private fun unsteppable(case: JSONObject): Int {
        val never = object : StepNetwork {
            override fun step(input: Input, state: List<FloatArray>) = throw AssertionError("a step of a bundle without them")
        }
        val taken = try {
            Session(read(case), never)
            true
        } catch (error: BadBundle) {
            false
        }
        same("whether steps are run of a manifest that does not say how", false, taken)
        return 1
    }

    private fun file(case: JSONObject): Int {
        val content = case.getString("content").toByteArray(Charsets.UTF_8)
        val taken = try {
            read(case).check(case.getString("name"), content.inputStream())
            true
        } catch (error: BadBundle) {
            false
        }
        same("whether the file is taken (${case["name"]})", case.getBoolean("taken"), taken)
        return 1
    }

    private fun read(case: JSONObject) = Manifest.read(case.getString("text").toByteArray(Charsets.UTF_8), case.text("seal"))

    internal fun frame(data: JSONObject) = Frame(data.getDouble("time"), data.floats("joints"), data.floats("confidence"))

    internal fun JSONObject.objects(field: String) = getJSONArray(field).items().map { it as JSONObject }

    internal fun JSONObject.texts(field: String) = getJSONArray(field).items().map { it as String }

    internal fun JSONObject.floats(field: String): FloatArray {
        val values = getJSONArray(field).items()
        return FloatArray(values.size) { (values[it] as? Number)?.toFloat() ?: Float.NaN }
    }

    private fun JSONObject.text(field: String) = if (isNull(field)) null else getString(field)

    private fun same(what: String, expected: Any?, seen: Any?) {
        if (expected != seen) throw AssertionError("$what: expected $expected, seen $seen")
    }

    private fun same(what: String, expected: FloatArray, seen: FloatArray) {
        if (!expected.contentEquals(seen)) throw AssertionError("$what: expected ${expected.toList()}, seen ${seen.toList()}")
    }
}

fun main(arguments: Array<String>) {
    for (path in arguments) {
        try {
            println("$path: ${Vectors.run(File(path).readText(Charsets.UTF_8))} comparisons agree")
        } catch (error: AssertionError) {
            println("$path: ${error.message}")
            exitProcess(1)
        }
    }
}
