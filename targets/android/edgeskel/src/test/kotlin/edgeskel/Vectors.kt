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
        for (case in all["session"].list()) count += session(case.table())
        for (case in all["manifest"].list()) count += manifest(case.table())
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

    private fun session(case: Map<*, *>): Int {
        val manifest = Manifest.read(case["manifest"] as String)
        val thresholds = Thresholds(case["threshold"].double().toFloat(), case["smoothing"].double().toFloat())
        val recogniser = Recogniser(manifest, Shares(manifest.labels.size), thresholds)
        var count = 0
        for (step in case["steps"].list().map { it.table() }) {
            val seen = try {
                recogniser.push(frame(step["frame"].table()), step["replaced"]?.booleans())
            } catch (error: BadInput) {
                same("a refusal", true, step["refused"])
                continue
            }
            same("no refusal", null, step["refused"])
            val expected = step["recognition"] as Map<*, *>?
            same("a recognition at ${step["frame"].table()["time"]}", expected == null, seen == null)
            if (expected != null && seen != null) {
                same("label", expected["label"], seen.label)
                same("time", expected["time"].double(), seen.time)
                near("probabilities", expected["probabilities"].floats(), seen.probabilities)
                near("embedding", expected["embedding"].floats(), seen.embedding)
            }
            count += 1
        }
        return count
    }

    private fun manifest(case: Map<*, *>): Int {
        val seen = try {
            Manifest.read(case["text"] as String)
        } catch (error: BadBundle) {
            null
        }
        same("whether the manifest is taken (${case["what"]})", case["taken"], seen != null)
        if (seen != null && case["labels"] != null) {
            same("labels", case["labels"].list(), seen.labels)
            same("hop", case["hop"].int(), seen.window.hop)
            same("artifact", case["artifact"], seen.artifact().file)
        }
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
    private class Shares(private val classes: Int) : Network {
        override fun run(input: Input): Output {
            val shares = FloatArray(classes)
            for ((index, trust) in input.confidence.withIndex()) {
                val joint = index % JOINTS
                if (joint < classes) shares[joint] += trust
            }
            val total = shares.sum()
            var middle = 0f
            for (value in input.joints) middle += value
            return Output(FloatArray(classes) { shares[it] / total }, floatArrayOf(middle / input.joints.size))
        }
    }

    private const val JOINTS = 3

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

    private fun near(what: String, expected: FloatArray, seen: FloatArray) {
        val differs = expected.size != seen.size || expected.indices.any { Math.abs(expected[it] - seen[it]) > 1e-6f }
        if (differs) throw AssertionError("$what: expected ${expected.toList()}, seen ${seen.toList()}")
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
