package edgeskel

import java.io.InputStream
import java.security.MessageDigest

/** The fixed-size input of every artifact: M persons, S frames at a rate, and how many frames lie between two answers. */
class Window(val persons: Int, val frames: Int, val rateHz: Double, val hop: Int)

/** One exported file of the bundle; [form] is `clip` (takes whole windows) or `step` (the next frames and the state). */
class Artifact(val file: String, val precision: String, val engines: List<String>, val form: String)

/** How live frames are recognised: frame by frame with a state, or a window again and again. */
enum class Way(internal val form: String) { FRAME("step"), WINDOW("clip") }

/**
 * What validation data said about the probabilities; the neutral values where there was none.
 *
 * @param temperature the logits are divided by it. The artifacts do not do it themselves.
 * @param threshold calibrated probability under which an action is unknown.
 */
class Certainty(val temperature: Double, val threshold: Double)

/**
 * What the bundle says about itself; a manifest that was altered is refused.
 *
 * @param step how the artifacts that take steps are fed; null where there are none.
 * @param digests file -> SHA-256, for [check].
 * @param tools versions of what made the artifacts, such as `executorch`.
 */
class Manifest private constructor(
    val name: String,
    val target: String,
    val topology: String,
    val joints: List<String>,
    val labels: List<String>,
    val window: Window,
    val certainty: Certainty,
    val step: StepForm?,
    val artifacts: List<Artifact>,
    val digests: Map<String, String>,
    val tools: Map<String, String>
) {
    /**
     * The artifact to run.
     *
     * @param precision fp32 or int8; null takes the one that the bundle lists first for ExecuTorch.
     * @param way null takes frame by frame where the bundle has an artifact for it, else windows.
     * @throws BadBundle there is none.
     */
    fun artifact(precision: String? = null, way: Way? = null): Artifact {
        val fit = artifacts.filter { "executorch" in it.engines && (precision == null || it.precision == precision) }
        val order = if (way == null) listOf(Way.FRAME, Way.WINDOW) else listOf(way)
        return order.mapNotNull { one -> fit.firstOrNull { it.form == one.form } }.firstOrNull()
            ?: throw BadBundle("the bundle $name has no artifact for ExecuTorch" + (precision?.let { " in $it" } ?: "") +
                (way?.let { " of the form '${it.form}'" } ?: "") + "; it has " +
                artifacts.joinToString { "${it.file} (${it.precision}, ${it.form})" } + ": export one with --target android")
    }

    /**
     * Reads a file of the bundle to its end and compares its SHA-256 with the manifest's.
     *
     * @throws BadBundle the manifest does not list it, or it was altered.
     */
    fun check(file: String, content: InputStream) {
        val expected = digests[file] ?: throw BadBundle("the manifest lists no file $file")
        val digest = MessageDigest.getInstance("SHA-256")
        val block = ByteArray(1 shl 16)
        while (true) {
            val count = content.read(block)
            if (count < 0) break
            digest.update(block, 0, count)
        }
        val seen = hex(digest.digest())
        if (seen != expected) {
            throw BadBundle("$file: SHA-256 is ${seen.take(12)}..., the manifest says ${expected.take(12)}...; copy the bundle again")
        }
    }

    companion object {
        /** The schema that this reads. */
        const val SCHEMA = 1

        /**
         * @param text of `manifest.json`.
         * @throws BadBundle not JSON, another schema, altered, or a field is missing.
         */
        fun read(text: String): Manifest {
            @Suppress("UNCHECKED_CAST")
            val data = Json.read(text) as? Map<String, Any?> ?: throw BadBundle("manifest.json holds no object")
            val schema = (data["schema"] as? JsonNumber)?.text
            if (schema != SCHEMA.toString()) {
                throw BadBundle("the manifest has schema $schema; expected $SCHEMA: export anew, or update this package")
            }
            val content = Json.canonical(data - "digest").toByteArray(Charsets.UTF_8)
            if (data["digest"] != hex(MessageDigest.getInstance("SHA-256").digest(content))) {
                throw BadBundle("manifest.json does not match its own digest; copy the bundle again or export anew")
            }
            Ranges.checkNumbers(data)
            val window = data.table("window")
            val files = data.table("files").mapValuesToText("files")
            return Manifest(
                name = data.text("name"),
                target = data.text("target"),
                topology = data.table("topology").text("name"),
                joints = data.table("topology").texts("joints"),
                labels = data.texts("labels"),
                window = Window(window.size("persons"), window.size("frames"), window.number("rate_hz"), window.size("hop")),
                certainty = certainty(data),
                step = if ("step" in data) step(data.table("step")) else null,
                artifacts = data.list("artifacts").map {
                    val entry = it as? Map<*, *> ?: throw missing("artifacts")
                    Artifact(entry.text("file"), entry.text("precision"), entry.texts("engines"), entry.form()).also { artifact ->
                        if (artifact.file !in files) throw missing("files.${artifact.file}")
                    }
                },
                digests = files,
                tools = (data["tools"] as? Map<*, *>)?.mapValuesToText("tools") ?: emptyMap()
            ).also { Ranges.checkSize(it.window, it.joints.size, it.step?.states.orEmpty()) }
        }

        private fun certainty(data: Map<*, *>): Certainty {
            if ("certainty" !in data) return Certainty(1.0, 0.5)
            val entry = data.table("certainty")
            return Certainty(
                if ("temperature" in entry) entry.number("temperature", "certainty.") else 1.0,
                if ("threshold" in entry) entry.number("threshold", "certainty.") else 0.5
            )
        }

        private fun step(entry: Map<*, *>): StepForm {
            val states = (entry["states"] as? List<*> ?: throw missing("step.states")).map { state ->
                val shape = (state as? Map<*, *>)?.get("shape") as? List<*> ?: throw missing("step.states")
                shape.map { size(it) ?: throw missing("step.states") }.toIntArray()
            }
            return StepForm(size(entry["frames"]) ?: throw missing("step.frames"), states)
        }

        private fun hex(bytes: ByteArray) = bytes.joinToString("") { String.format("%02x", it) }

        private fun missing(field: String) = BadBundle("manifest.json: the field '$field' is missing or malformed; export anew")

        private fun Map<*, *>.table(field: String) = this[field] as? Map<*, *> ?: throw missing(field)

        private fun Map<*, *>.list(field: String) = this[field] as? List<*> ?: throw missing(field)

        private fun Map<*, *>.text(field: String) = this[field] as? String ?: throw missing(field)

        private fun Map<*, *>.texts(field: String): List<String> {
            val found = list(field).map { it as? String ?: throw missing(field) }
            if (found.isEmpty()) throw missing(field)
            return found
        }

        private fun Map<*, *>.size(field: String) = size(this[field]) ?: throw missing(field)

        private fun size(value: Any?) = (value as? JsonNumber)?.text?.toDouble()?.toInt()?.takeIf { it > 0 }

        private fun Map<*, *>.form() = if ("form" in this) text("form") else "clip"

        private fun Map<*, *>.number(field: String, parent: String = "") =
            (this[field] as? JsonNumber)?.text?.toDouble() ?: throw missing(parent + field)

        private fun Map<*, *>.mapValuesToText(field: String): Map<String, String> =
            entries.associate { (it.key as String) to (it.value as? String ?: throw missing(field)) }
    }
}
