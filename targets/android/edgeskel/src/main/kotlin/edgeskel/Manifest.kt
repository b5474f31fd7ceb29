package edgeskel

import java.io.InputStream
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** The fixed-size input of every artifact: M persons, S frames at a rate, and how many frames lie between two answers. */
class Window(val persons: Int, val frames: Int, val rateHz: Double, val hop: Int)

/** One exported file of the bundle; [form] is `clip` (takes whole windows) or `step` (the next frames and the state). */
class Artifact(val file: String, val precision: String, val engines: List<String>, val form: String)

/** How live frames are recognised: frame by frame with a state, or the motion so far again and again. */
enum class Mode(internal val form: String) { STREAMING("step"), SLIDING_WINDOW("clip") }

/**
 * What validation data said about the probabilities; the neutral values where there was none.
 *
 * @param temperature the logits are divided by it. The artifacts do not do it themselves.
 * @param threshold calibrated probability under which an action is unknown.
 */
class Calibration(val temperature: Double, val threshold: Double)

/**
 * What the bundle says about itself; a manifest that was altered is refused.
 *
 * @param segmenter when a body counts as moving, as the recogniser's training clips taught.
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
    val calibration: Calibration,
    val segmenter: SegmenterConfig,
    val step: StepForm?,
    val artifacts: List<Artifact>,
    val digests: Map<String, String>,
    val tools: Map<String, String>
) {
    /**
     * The artifact to run.
     *
     * @param precision fp32 or int8; null takes the one that the bundle lists first for ExecuTorch.
     * @param mode null streams where the bundle has an artifact for it, else takes windows.
     * @throws BadBundle there is none.
     */
    fun artifact(precision: String? = null, mode: Mode? = null): Artifact {
        val fit = artifacts.filter { "executorch" in it.engines && (precision == null || it.precision == precision) }
        val order = if (mode == null) listOf(Mode.STREAMING, Mode.SLIDING_WINDOW) else listOf(mode)
        return order.mapNotNull { one -> fit.firstOrNull { it.form == one.form } }.firstOrNull()
            ?: throw BadBundle("the bundle $name has no artifact for ExecuTorch" + (precision?.let { " in $it" } ?: "") +
                (mode?.let { " of the form '${it.form}'" } ?: "") + "; it has " +
                artifacts.joinToString { "${it.file} (${it.precision}, ${it.form})" } + ": export one with --target android")
    }

    /**
     * When scores become events, as the bundle says.
     *
     * @param threshold takes the place of the bundle's own.
     */
    fun events(threshold: Double? = null): EventConfig {
        val least = threshold ?: calibration.threshold
        return EventConfig(calibration.temperature, least, Math.max(least, EventConfig().begin), segmenter = segmenter)
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
        /** The schema that this reads; bundles of schema 1 are read, too. */
        const val SCHEMA = 2

        /** The file beside `manifest.json` that holds the digest of its bytes. */
        const val SEAL = "manifest.sha256"

        /**
         * @param content of `manifest.json`.
         * @param seal of `manifest.sha256`. Null where there is none, as in bundles of schema 1: the digest inside their manifests is
         *   over a form that the platform's JSON does not keep, so it is not checked here. That of every file is.
         * @throws BadBundle not JSON, another schema, altered, or a field is missing.
         */
        fun read(content: ByteArray, seal: String?): Manifest {
            val digest = hex(MessageDigest.getInstance("SHA-256").digest(content))
            if (seal != null && seal != "$digest  manifest.json\n") {
                throw BadBundle("manifest.json: SHA-256 is ${digest.take(12)}..., $SEAL says ${seal.take(12)}...; " +
                    "copy the bundle again or export anew")
            }
            val data = try {
                JSONObject(String(content, Charsets.UTF_8))
            } catch (error: JSONException) {
                throw BadBundle("manifest.json is not JSON (${error.message}); copy the bundle again or export anew")
            }
            val schema = (data.opt("schema") as? Number)?.toDouble()
            if (schema != SCHEMA.toDouble() && schema != 1.0) {
                throw BadBundle("the manifest has schema ${data.opt("schema")}; expected $SCHEMA or 1: export anew, or update this package")
            }
            if (seal == null && schema != 1.0) throw BadBundle("$SEAL is missing beside manifest.json; copy the bundle again")
            Ranges.checkNumbers(data)
            val window = data.table("window")
            val files = data.table("files").allTexts("files")
            return Manifest(
                name = data.text("name"),
                target = data.text("target"),
                topology = data.table("topology").text("name"),
                joints = data.table("topology").texts("joints"),
                labels = data.texts("labels"),
                window = Window(window.size("persons"), window.size("frames"), window.number("rate_hz"), window.size("hop")),
                calibration = calibration(data),
                segmenter = segmenter(data),
                step = if (data.has("step")) step(data.table("step")) else null,
                artifacts = data.list("artifacts").map {
                    val entry = it as? JSONObject ?: throw missing("artifacts")
                    val form = if (entry.has("form")) entry.text("form") else "clip"
                    Artifact(entry.text("file"), entry.text("precision"), entry.texts("engines"), form).also { artifact ->
                        if (artifact.file !in files) throw missing("files.${artifact.file}")
                    }
                },
                digests = files,
                tools = (data.opt("tools") as? JSONObject)?.allTexts("tools") ?: emptyMap()
            ).also { Ranges.checkSize(it.window, it.joints.size, it.step?.states.orEmpty()) }
        }

        private fun calibration(data: JSONObject): Calibration {
            if (!data.has("certainty")) return Calibration(1.0, 0.5)
            val entry = data.table("certainty")
            return Calibration(
                if (entry.has("temperature")) entry.number("temperature", "certainty.") else 1.0,
                if (entry.has("threshold")) entry.number("threshold", "certainty.") else 0.5
            )
        }

        /** Its numbers were checked by [Ranges]. */
        private fun segmenter(data: JSONObject): SegmenterConfig {
            val default = SegmenterConfig()
            if (!data.has("segmenter")) return default
            val entry = data.table("segmenter")
            fun value(field: String, otherwise: Double) = if (entry.has(field)) entry.number(field, "segmenter.") else otherwise
            val found = SegmenterConfig(value("start", default.start), value("stop", default.stop), value("still_s", default.stillS),
                value("longest_s", default.longestS), value("shortest_s", default.shortestS), value("margin_s", default.marginS))
            if (found.stop > found.start) throw missing("segmenter.stop")
            return found
        }

        private fun step(entry: JSONObject): StepForm {
            val states = (entry.opt("states") as? JSONArray ?: throw missing("step.states")).items().map { state ->
                val shape = (state as? JSONObject)?.opt("shape") as? JSONArray ?: throw missing("step.states")
                shape.items().map { size(it) ?: throw missing("step.states") }.toIntArray()
            }
            return StepForm(size(entry.opt("frames")) ?: throw missing("step.frames"), states)
        }

        private fun hex(bytes: ByteArray) = bytes.joinToString("") { String.format("%02x", it) }

        private fun missing(field: String) = BadBundle("manifest.json: the field '$field' is missing or malformed; export anew")

        private fun JSONObject.table(field: String) = opt(field) as? JSONObject ?: throw missing(field)

        private fun JSONObject.list(field: String) = (opt(field) as? JSONArray ?: throw missing(field)).items()

        private fun JSONObject.text(field: String) = opt(field) as? String ?: throw missing(field)

        private fun JSONObject.texts(field: String): List<String> {
            val found = list(field).map { it as? String ?: throw missing(field) }
            if (found.isEmpty()) throw missing(field)
            return found
        }

        private fun JSONObject.size(field: String) = size(opt(field)) ?: throw missing(field)

        private fun size(value: Any?) = (value as? Number)?.toInt()?.takeIf { it > 0 }

        private fun JSONObject.number(field: String, parent: String = "") =
            (opt(field) as? Number)?.toDouble() ?: throw missing(parent + field)

        private fun JSONObject.allTexts(field: String): Map<String, String> =
            keys().asSequence().associate { (it as String) to (opt(it) as? String ?: throw missing(field)) }
    }
}

/** What stands in the list. */
internal fun JSONArray.items(): List<Any?> = (0 until length()).map { opt(it) }
