package edgeskel

import java.io.File
import kotlin.system.exitProcess

/**
 * Holds this package against golden vectors that `edgeskel.runtime` computed (python -m tests.targets.vectors).
 *
 * Needs nothing but the Kotlin compiler: `main` runs a file of them and ends with status 1 at the first that differs.
 */
object Vectors {
    /** @return how many comparisons were made. */
    fun run(text: String): Int {
        val all = Json.read(text).table()
        var count = 0
        for (case in all["resampler"].list()) count += resampler(case.table())
        for (case in all["ring"].list()) count += ring(case.table())
        for (case in all["naming"].list()) count += naming(case.table())
        for (case in all["session"].list()) count += session(case.table()) { manifest, thresholds ->
            Recogniser(manifest, Shares(manifest), thresholds)
        }
        for (case in all["step"].list()) count += session(case.table()) { manifest, thresholds ->
            Recogniser(manifest, Traces(manifest.joints.size), thresholds)
        }
        for (case in all["manifest"].list()) count += manifest(case.table())
        for (case in all["choice"].list()) count += choice(case.table())
        for (item in all["unsteppable"].list()) count += unsteppable(item as String)
        for (case in all["file"].list()) count += file(case.table())
        return count
    }

    private fun resampler(case: Map<*, *>): Int {
        val resampler = Resampler(case["rate_hz"].double(), case["persons"].int(), case["joints"].int())
        var count = 0
        for ((push, expected) in case["frames"].list().zip(case["settled"].list())) {
            val settled = resampler.push(frame(push.table()), push.table()["replaced"]?.booleans())
            same("number of settled frames", expected.list().size, settled.size)
            for ((want, seen) in expected.list().zip(settled)) {
                same("time", want.table()["time"].double(), seen.time)
                same("joints", want.table()["joints"].floats(), seen.joints)
                same("confidence", want.table()["confidence"].floats(), seen.confidence)
                count += 1
            }
        }
        return count
    }

    private fun ring(case: Map<*, *>): Int {
        val ring = Ring(case["persons"].int(), case["frames"].int(), case["joints"].int())
        var count = 0
        for (step in case["steps"].list().map { it.table() }) {
            if (step["forget"] != null) ring.forget(step["forget"].int())
            if (step["push"] != null) ring.push(frame(step["push"].table()))
            val window = ring.window()
            same("joints of the window", step["joints"].floats(), window.joints)
            same("confidence of the window", step["confidence"].floats(), window.confidence)
            count += 1
        }
        return count
    }

    private fun naming(case: Map<*, *>): Int {
        val certainty = Certainty(case["temperature"].double(), case["threshold"].double())
        val thresholds = Thresholds(smoothing = case["smoothing"].double().toFloat())
        val naming = Naming(case["labels"].list().map { it as String }, certainty, thresholds)
        for (step in case["steps"].list().map { it.table() }) {
            val seen = naming.push(Output(step["answer"].floats(), FloatArray(0)), 0.0)
            same("label at ${certainty.threshold}", step["label"], seen.label)
            same("calibrated probabilities", step["probabilities"].floats(), seen.probabilities)
        }
        return case["steps"].list().size
    }

    private fun session(case: Map<*, *>, open: (Manifest, Thresholds) -> Recogniser): Int {
        val manifest = Manifest.read(case["manifest"] as String)
        val recogniser = open(manifest, Thresholds(case["threshold"]?.double(), case["smoothing"].double().toFloat()))
        for (step in case["steps"].list().map { it.table() }) {
            val seen = try {
                recogniser.push(frame(step["frame"].table()), step["replaced"]?.booleans())
            } catch (error: BadInput) {
                same("a refusal", true, step["refused"])
                continue
            } catch (error: BadBundle) {
                same("a broken answer", true, step["broken"])
                continue
            }
            same("no refusal", null, step["refused"] ?: step["broken"])
            val expected = step["recognition"] as Map<*, *>?
            same("a recognition at ${step["frame"].table()["time"]}", expected == null, seen == null)
            if (expected != null && seen != null) {
                same("label", expected["label"], seen.label)
                same("time", expected["time"].double(), seen.time)
                same("probabilities", expected["probabilities"].floats(), seen.probabilities)
                same("whether ${seen.probability} is the largest", true, seen.probabilities.all { it <= seen.probability })
                same("embedding", expected["embedding"].floats(), seen.embedding)
            }
        }
        return case["steps"].list().size
    }

    private fun manifest(case: Map<*, *>): Int {
        val seen = try {
            Manifest.read(case["text"] as String)
        } catch (error: BadBundle) {
            val said = error.message.orEmpty()
            if ("says" in case) same("whether '$said' names ${case["says"]}", true, "${case["says"]}" in said)
            null
        }
        same("whether the manifest is taken (${case["what"]})", case["taken"], seen != null)
        if (seen != null && case["labels"] != null) {
            same("labels", case["labels"].list(), seen.labels)
            same("hop", case["hop"].int(), seen.window.hop)
            same("artifact", case["artifact"], seen.artifact().file)
        }
        if (seen != null && "temperature" in case) {
            same("temperature", case["temperature"].double(), seen.certainty.temperature)
            same("threshold", case["threshold"].double(), seen.certainty.threshold)
        }
        if (seen != null && "states" in case) {
            same("frames of a step", case["step_frames"].int(), seen.step?.frames)
            same("states", case["states"].list().map { shape -> shape.list().map { it.int() } }, seen.step?.states?.map { it.toList() })
        }
        return 1
    }

    private fun choice(case: Map<*, *>): Int {
        val seen = try {
            Manifest.read(case["manifest"] as String).artifact(case["precision"] as String?, (case["way"] as String?)?.let { Way.valueOf(it) }).file
        } catch (error: BadBundle) {
            null
        }
        same("artifact in ${case["precision"]} by ${case["way"]}", case["file"], seen)
        return 1
    }

    private fun unsteppable(text: String): Int {
        val manifest = Manifest.read(text)
        val taken = try {
            Recogniser(manifest, Traces(manifest.joints.size))
            true
        } catch (error: BadBundle) {
            false
        }
        same("whether steps are run of a manifest that does not say how", false, taken)
        return 1
    }

    private fun file(case: Map<*, *>): Int {
        val manifest = Manifest.read(case["manifest"] as String)
        val content = (case["content"] as String).toByteArray(Charsets.UTF_8)
        val taken = try {
            manifest.check(case["name"] as String, content.inputStream())
            true
        } catch (error: BadBundle) {
            false
        }
        same("whether the file is taken (${case["name"]})", case["taken"], taken)
        return 1
    }

    /** A network whose answer a test can compute: class k is seen as much as joint k. */
    private class Shares(private val manifest: Manifest) : Network {
        override fun run(input: Input): Output {
            val shares = DoubleArray(manifest.labels.size)
            for ((index, trust) in input.confidence.withIndex()) {
                val joint = index % manifest.joints.size
                if (joint < shares.size) shares[joint] += trust.toDouble()
            }
            val total = shares.sum()
            val middle = input.joints.map { it.toDouble() }.sum() / input.joints.size
            return Output(FloatArray(shares.size) { (shares[it] / total).toFloat() }, floatArrayOf(middle.toFloat()))
        }
    }

    /** A step network whose answer a test can compute: the state is a fading trace of each joint's confidence and position. A joint that is very far away spoils it. */
    private class Traces(private val joints: Int) : StepNetwork {
        override fun step(input: Input, state: List<FloatArray>): StepOutput {
            val seen = state[0].copyOf()
            val place = state[1].copyOf()
            for (frame in 0 until input.confidence.size / joints) {
                for (joint in seen.indices) seen[joint] = 0.5f * seen[joint] + input.confidence[frame * joints + joint]
                for (index in place.indices) place[index] = 0.5f * place[index] + input.joints[frame * joints * 3 + index]
            }
            val spoilt = input.joints.any { Math.abs(it) >= 1e6f }
            val shares = seen.map { if (spoilt) Double.NaN else it.toDouble() + 0.01 }
            val probabilities = FloatArray(joints) { (shares[it] / shares.sum()).toFloat() }
            return StepOutput(Output(probabilities, place.copyOf()), listOf(seen, place))
        }
    }

    internal fun frame(data: Map<*, *>) =
        Frame(data["time"].double(), data["joints"].floats(), data["confidence"].floats())

    internal fun Any?.table() = this as Map<*, *>

    internal fun Any?.list() = this as List<*>

    internal fun Any?.double() = (this as JsonNumber).text.toDouble()

    internal fun Any?.int() = (this as JsonNumber).text.toInt()

    internal fun Any?.floats() = FloatArray(list().size) { if (list()[it] == null) Float.NaN else list()[it].double().toFloat() }

    private fun Any?.booleans() = BooleanArray(list().size) { list()[it] as Boolean }

    private fun same(what: String, expected: Any?, seen: Any?) {
        if (expected != seen) throw AssertionError("$what: expected $expected, seen $seen")
    }

    internal fun same(what: String, expected: FloatArray, seen: FloatArray) {
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
