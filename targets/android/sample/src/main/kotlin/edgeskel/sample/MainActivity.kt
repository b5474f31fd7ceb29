package edgeskel.sample

import android.Manifest
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.Matrix
import android.os.Bundle
import android.view.Gravity
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.FrameLayout
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import androidx.core.content.ContextCompat
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode
import com.google.mediapipe.tasks.vision.poselandmarker.PoseLandmarker
import com.google.mediapipe.tasks.vision.poselandmarker.PoseLandmarkerResult
import edgeskel.Event
import edgeskel.Frame
import edgeskel.EventKind
import edgeskel.Session
import edgeskel.android.AssetBundle
import java.util.concurrent.Executors

/** The back camera's picture, and over it the action that the person in it does. */
class MainActivity : ComponentActivity() {
    private val work = Executors.newSingleThreadExecutor() // the landmarker's, the session's: one thread, in order
    private lateinit var preview: PreviewView
    private lateinit var text: TextView
    private lateinit var landmarker: PoseLandmarker
    private lateinit var session: Session
    private lateinit var pose: PoseJoints

    private val ask = registerForActivityResult(ActivityResultContracts.RequestPermission()) { granted ->
        if (granted) start() else text.text = "The camera is needed to see somebody."
    }

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        preview = PreviewView(this)
        text = TextView(this).apply {
            textSize = 28f
            setTextColor(Color.WHITE)
            setBackgroundColor(Color.argb(128, 0, 0, 0))
        }
        setContentView(FrameLayout(this).apply {
            addView(preview, FrameLayout.LayoutParams(MATCH_PARENT, MATCH_PARENT))
            addView(text, FrameLayout.LayoutParams(MATCH_PARENT, WRAP_CONTENT, Gravity.BOTTOM))
        })
        val allowed = ContextCompat.checkSelfPermission(this, Manifest.permission.CAMERA)
        if (allowed == PackageManager.PERMISSION_GRANTED) start() else ask.launch(Manifest.permission.CAMERA)
    }

    override fun onDestroy() {
        super.onDestroy()
        work.execute { if (::landmarker.isInitialized) landmarker.close() }
        work.shutdown()
    }

    private fun start() {
        work.execute {
            try {
                session = AssetBundle.open(this)
                pose = PoseJoints(session.manifest.joints)
                landmarker = PoseLandmarker.createFromOptions(
                    this,
                    PoseLandmarker.PoseLandmarkerOptions.builder()
                        .setBaseOptions(BaseOptions.builder().setModelAssetPath("pose_landmarker_lite.task").build())
                        .setRunningMode(RunningMode.VIDEO)
                        .setNumPoses(1)
                        .build()
                )
                runOnUiThread { watch() }
            } catch (error: Exception) {
                say(error.message ?: error.toString())
            }
        }
    }

    private fun watch() {
        val future = ProcessCameraProvider.getInstance(this)
        future.addListener({
            val picture = Preview.Builder().build().also { it.setSurfaceProvider(preview.surfaceProvider) }
            val analysis = ImageAnalysis.Builder()
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .build()
            analysis.setAnalyzer(work) { image -> image.use { look(it) } }
            future.get().bindToLifecycle(this, CameraSelector.DEFAULT_BACK_CAMERA, picture, analysis)
        }, ContextCompat.getMainExecutor(this))
    }

    private fun look(image: ImageProxy) {
        val nanoseconds = image.imageInfo.timestamp
        val upright = Matrix().apply { postRotate(image.imageInfo.rotationDegrees.toFloat()) }
        val bitmap = image.toBitmap()
        val turned = Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, upright, true)
        val result = landmarker.detectForVideo(BitmapImageBuilder(turned).build(), nanoseconds / 1_000_000)
        recognise(nanoseconds / 1e9, result)
    }

    private fun recognise(time: Double, result: PoseLandmarkerResult) {
        val world = FloatArray(3 * LANDMARK_COUNT)
        val visibility = FloatArray(LANDMARK_COUNT)
        val person = result.worldLandmarks().firstOrNull()
        person?.forEachIndexed { index, landmark ->
            world[3 * index] = landmark.x()
            world[3 * index + 1] = landmark.y()
            world[3 * index + 2] = landmark.z()
            visibility[index] = landmark.visibility().orElse(1f).coerceIn(0f, 1f)
        }
        val nobody = Frame(time, FloatArray(0), FloatArray(0))
        for (event in session.step(if (person == null) nobody else pose.frame(time, world, visibility))) show(event)
    }

    private fun show(event: Event) {
        val sure = "${event.label}  ${Math.round(100 * event.confidence)} %"
        say(if (event.kind == EventKind.ENDED) String.format("%s, %.1f s", sure, event.end!! - event.start) else "$sure ...")
    }

    private fun say(words: String) = runOnUiThread { text.text = words }

    private companion object {
        const val LANDMARK_COUNT = 33
    }
}
