import AVFoundation
import Edgeskel
import EdgeskelExecuTorch
import MediaPipeTasksVision

/// Looks through the back camera and says what the person in the picture does.
final class Watcher: NSObject, ObservableObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    @Published private(set) var words = "..."
    let session = AVCaptureSession()
    private let work = DispatchQueue(label: "edgeskel") // the landmarker's, the recognition's: one queue, in order
    private var landmarker: PoseLandmarker?
    private var recognition: Session?
    private var pose: PoseJoints?

    func start() async {
        guard await AVCaptureDevice.requestAccess(for: .video) else {
            return say("The camera is needed to see somebody.")
        }
        work.async { [self] in
            do {
                try open()
                session.startRunning()
            } catch {
                say("\(error)")
            }
        }
    }

    private func open() throws {
        guard let bundle = Bundle.main.url(forResource: "edgeskel", withExtension: nil),
              let model = Bundle.main.path(forResource: "pose_landmarker_lite", ofType: "task"),
              let camera = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back) else {
            throw BadBundle("the bundle, the pose model or the camera is missing: see README.md")
        }
        let recognition = try Session(bundle: bundle)
        let options = PoseLandmarkerOptions()
        options.baseOptions.modelAssetPath = model
        options.runningMode = .video
        options.numPoses = 1
        landmarker = try PoseLandmarker(options: options)
        pose = PoseJoints(recognition.manifest.joints)
        self.recognition = recognition
        let output = AVCaptureVideoDataOutput()
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(self, queue: work)
        session.beginConfiguration()
        session.addInput(try AVCaptureDeviceInput(device: camera))
        session.addOutput(output)
        output.connection(with: .video)?.videoRotationAngle = 90 // upright when the phone is
        session.commitConfiguration()
    }

    func captureOutput(_ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection) {
        guard let landmarker, let recognition, let pose else { return }
        let time = CMSampleBufferGetPresentationTimeStamp(sample).seconds
        do {
            let image = try MPImage(sampleBuffer: sample)
            let result = try landmarker.detect(videoFrame: image, timestampInMilliseconds: Int(time * 1000))
            var world = [Float](repeating: 0, count: 33 * 3)
            var visibility = [Float](repeating: 0, count: 33)
            let person = result.worldLandmarks.first
            for (index, landmark) in (person ?? []).enumerated() {
                world.replaceSubrange(3 * index..<3 * index + 3, with: [landmark.x, landmark.y, landmark.z])
                visibility[index] = min(max(landmark.visibility?.floatValue ?? 1, 0), 1)
            }
            let nobody = Frame(time: time, joints: [], confidence: [])
            let frame = person == nil ? nobody : pose.frame(time: time, world: world, visibility: visibility)
            for event in try recognition.step(frame) {
                let sure = "\(event.label)  \(Int((100 * event.confidence).rounded())) %"
                let seconds = event.end.map { String(format: ", %.1f s", $0 - event.start) }
                say(sure + (seconds ?? " ..."))
            }
        } catch {
            say("\(error)")
        }
    }

    private func say(_ words: String) {
        DispatchQueue.main.async { self.words = words }
    }
}
