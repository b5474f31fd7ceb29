package edgeskel.android

import android.content.Context
import edgeskel.Manifest
import edgeskel.Recogniser
import edgeskel.Thresholds
import edgeskel.Way
import java.io.File

/**
 * A bundle among the app's assets. ExecuTorch loads files, so the artifact is copied out once for each manifest.
 *
 * Only `manifest.json` and the artifact are needed: the other files of a bundle may stay out of the app.
 */
object AssetBundle {
    /**
     * Checks the bundle and loads its network.
     *
     * @param folder of the bundle, under `assets`.
     * @param precision fp32 or int8; null takes the one that the bundle lists first.
     * @param way null goes frame by frame where the bundle has an artifact for it (`model.step.pte`), else by window.
     * @throws edgeskel.BadBundle the manifest or the artifact was altered or is not for this package.
     */
    fun open(
        context: Context,
        folder: String = "edgeskel",
        precision: String? = null,
        thresholds: Thresholds = Thresholds(),
        way: Way? = null
    ): Recogniser {
        val manifest = Manifest.read(context.assets.open("$folder/manifest.json").use { String(it.readBytes(), Charsets.UTF_8) })
        val chosen = manifest.artifact(precision, way)
        val artifact = chosen.file
        val copy = File(File(context.noBackupFilesDir, "edgeskel"), "${manifest.digests.getValue(artifact)}.pte")
        if (!copy.isFile) {
            copy.parentFile!!.mkdirs()
            val part = File.createTempFile("part", null, copy.parentFile)
            context.assets.open("$folder/$artifact").use { from -> part.outputStream().use { from.copyTo(it) } }
            part.inputStream().use { manifest.check(artifact, it) }
            if (!part.renameTo(copy)) throw java.io.IOException("cannot rename $part to $copy")
        }
        copy.inputStream().use { manifest.check(artifact, it) }
        return if (chosen.form == "step") Recogniser(manifest, ExecutorchStepNetwork(copy, manifest), thresholds)
        else Recogniser(manifest, ExecutorchNetwork(copy, manifest), thresholds)
    }
}
